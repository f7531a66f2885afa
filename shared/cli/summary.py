"""What a run has found, read back from the store: detections, gaps, and where everything lies."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.table import Table

from shared.documents import DETECTIONS, GAPS, Gap
from shared.house import House

_NEWEST = 100


def wide_console() -> Console:
    """Standard output, for words as they are; where that is no terminal, wide enough for our tables."""
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(width=160, markup=False, emoji=False)


def print_summary(house: House, console: Console) -> None:
    """Print the newest detections and gaps on record, and where clips, pictures and database lie."""
    documents = house.storage.documents
    names = {hydrophone.id: hydrophone.name for hydrophone in house.hydrophones}
    detections = documents.query(DETECTIONS, order_by="timestamp", descending=True, limit=_NEWEST)[::-1]
    newest_gaps = documents.query(GAPS, order_by="start_utc", descending=True, limit=_NEWEST)[::-1]
    gaps = [Gap.model_validate(stored.body) for stored in newest_gaps]
    table = Table(title=f"{len(detections)} detections")
    for heading in ("time (UTC)", "hydrophone", "confidence", "files"):
        table.add_column(heading, overflow="fold")
    for stored in detections:
        body = stored.body
        table.add_row(
            str(body["timestamp"]),
            str(body["location"]["name"]),
            f"{body['whaleFoundConfidence']:.1f} %",
            _files(body["audioUri"], body["imageUri"]),
        )
    console.print(table)
    if gaps:
        table = Table(title=f"{len(gaps)} gaps: what was not heard, and why")
        for heading in ("from (UTC)", "to (UTC)", "hydrophone", "reason", "folder", "segments"):
            table.add_column(heading)
        for gap in gaps:
            segments = "-" if gap.first_index is None else f"{gap.first_index} to {gap.last_index}"
            name = names.get(gap.hydrophone_id, gap.hydrophone_id)
            reason = gap.reason.replace("_", " ")
            table.add_row(_clock(gap.start_utc), _clock(gap.end_utc), name, reason, str(gap.epoch), segments)
        console.print(table)
    data = house.settings.data.resolve()
    places = (("clips", data / "clips"), ("detections", data / "detections"), ("database", data / "haro.sqlite"))
    for what, path in places:
        console.print(f"{what:>10}: {path}", soft_wrap=True, highlight=False)


def local_path(uri: str) -> str:
    """A file URI as a path relative to here where that is shorter; other URIs as they are."""
    parts = urlsplit(uri)
    if parts.scheme != "file":
        return uri
    path = Path(unquote(parts.path))
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _files(audio_uri: str, image_uri: str) -> str:
    """A clip's files in one line: they differ in their suffix alone."""
    audio, image = (Path(local_path(uri)) for uri in (audio_uri, image_uri))
    if audio_uri and image_uri and audio.with_suffix("") == image.with_suffix(""):
        return f"{audio.with_suffix('')}.{{{audio.suffix[1:]},{image.suffix[1:]}}}"
    return "\n".join(str(path) for path, uri in ((audio, audio_uri), (image, image_uri)) if uri)


def _clock(moment: datetime) -> str:
    return f"{moment:%m-%d %H:%M:%S}"
