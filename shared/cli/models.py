"""`haro models`: which model scores, what else there is, and how to change it."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from shared.bootstrap import bundled_card, bundled_model, load_bundled, open_house
from shared.cli.station import existing_station
from shared.cli.summary import wide_console
from shared.documents import BUNDLED, KnownModel, ModelEntry, ModelRef, Production
from shared.errors import AudioError, HaroError, ModelError
from shared.house import House
from shared.registry.trial import admit, try_out
from shared.scoring.changes import Change, Changes, changes_between, recordings_in, scores_of
from shared.scoring.detector import Detector
from shared.scoring.model_file import ModelMetadata
from shared.scoring.recording import FileScore
from shared.settings import Settings, load_settings

app = typer.Typer(help="Keep models, try them, put one in production, and go back.", no_args_is_help=True)

PRODUCTION = "production"
_MB = 10**6

Data = Annotated[Path | None, typer.Option(help="Folder of the station.")]


def _said(text: str | None) -> str | None:
    if text is not None and not text.strip():
        raise typer.BadParameter("it is blank: say it for those who ask later")
    return text


By = Annotated[str | None, typer.Option(help="Who does it; by default who is logged in.", callback=_said)]
Reason = Annotated[str, typer.Option(help="Why: one sentence for those who ask later.", callback=_said)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Named = Annotated[str, typer.Argument(metavar="MODEL", help="name/version, or `bundled`.")]


@app.command("list")
def list_models(data: Data = None, as_json: AsJson = False) -> None:
    """List all models, and which of them is in production."""
    with existing_station(load_settings(data=data)) as house:
        entries, bundled = house.registry.entries(), load_bundled(house.settings).metadata.model_version
        try:
            pointer, broken = house.registry.production(), None
        except ModelError as error:
            if as_json:
                raise
            pointer, broken = None, error  # told when what there is to promote was shown
    in_production = pointer.model if pointer else None
    if as_json:
        found = {
            "bundled": bundled,
            "production": pointer.to_json() if pointer else None,
            "models": [entry.to_json() for entry in entries],
        }
        typer.echo(json.dumps(found))
        return
    table = Table(title="models")
    for heading in ("model", "", "MB", "added (UTC)", "by", "SHA-256"):
        table.add_column(heading, overflow="fold")
    table.add_row(f"{BUNDLED} ({bundled})", "" if broken else _role(None, pointer), "", "", "", "")
    for entry in entries:
        role = "" if broken else _role(entry.known, pointer)
        size, added = f"{entry.size_bytes / _MB:.1f}", f"{entry.added_at:%Y-%m-%d %H:%M}"
        table.add_row(str(entry), role, size, added, entry.added_by, entry.sha256[:12])
    console = wide_console()
    console.print(table)
    if broken:
        raise broken
    if pointer:
        since = f"{pointer.promoted_at:%Y-%m-%d %H:%M} UTC"
        console.print(f"{_name(in_production)} was promoted by {pointer.promoted_by}, {since}: {pointer.reason}")


@app.command()
def show(model: Named, data: Data = None, as_json: AsJson = False) -> None:
    """Show what a model says of itself, and its card."""
    settings, ref = load_settings(data=data), _ref(model)
    metadata, card, entry = _detector(model, settings).metadata, bundled_card(), None
    if ref is not None:
        with existing_station(settings) as house:
            card, entry = house.registry.card(ref), house.registry.entry(ref)
    if as_json:
        about = {
            "metadata": metadata.model_dump(mode="json"),
            "entry": entry.to_json() if entry else None,
            "card": card,
        }
        typer.echo(json.dumps(about))
        return
    table = Table(title=metadata.model_version, show_header=False)
    for name, value in _facts(metadata, entry):
        table.add_row(name, value)
    wide_console().print(table)
    typer.echo(card)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="The ONNX file.")],
    card: Annotated[Path, typer.Option(help="Its papers (Markdown): data, figures, limits.")],
    by: By = None,
    data: Data = None,
) -> None:
    """Try a model out and keep it, with its card. Nothing changes until it is promoted."""
    who, content, papers = _who(by), _read(file), _read(card).decode(errors="replace")
    if not papers.strip():
        raise ModelError(f"{card} is empty: say what the model was made from, how good it is and what it cannot do")
    settings = load_settings(data=data)
    metadata = try_out(content, source=str(file), threads=settings.score_threads, batch_size=settings.score_batch_size)
    ref = ModelRef.named(metadata.model_version)
    if str(ref) == load_bundled(settings).metadata.model_version and content != bundled_model().read_bytes():
        raise ModelError(
            f"{ref} is the version that comes with Haro, with other content: export this one with a new version"
        )
    with open_house(settings) as house:
        entry = house.registry.add(content, papers, ref=ref, by=who)
    typer.echo(f"{ref} is kept ({entry.size_bytes / _MB:.1f} MB); `haro models promote {ref}` puts it in production")


@app.command()
def promote(model: Named, reason: Reason, by: By = None, data: Data = None) -> None:
    """Put a model in production: workers take it up within a minute, between two clips."""
    _change(data, lambda house, who: house.registry.promote(_ref(model), by=who, reason=reason), by)


@app.command()
def rollback(reason: Reason, by: By = None, data: Data = None) -> None:
    """Go back to the model that was in production before."""
    _change(data, lambda house, who: house.registry.rollback(by=who, reason=reason), by)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="name/version, `bundled`, `production`, or an ONNX file.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    on: Annotated[list[Path], typer.Option(help="Recording, or folder of recordings; may be given again.")],
    picture: Annotated[Path | None, typer.Option(help="Draw both scores of each recording to this PNG.")] = None,
    data: Data = None,
    as_json: AsJson = False,
) -> None:
    """Score recordings with two models and show where they differ. Neither is put in production."""
    if picture and not picture.parent.is_dir():
        raise HaroError(f"{picture}: there is no folder {picture.parent}; choose another file")
    recordings, settings = recordings_in(on), load_settings(data=data)
    one, other = (_detector(named, settings) for named in (a, b))
    before, after = _scored(recordings, one, other)
    changes = changes_between(before, after)
    names = (one.metadata.model_version, other.metadata.model_version)
    if as_json:
        typer.echo(json.dumps({"a": names[0], "b": names[1], **changes.to_json()}))
    else:
        _print_changes(changes, before, names)
    if picture:
        from shared.registry.pictures import difference_picture  # noqa: PLC0415 - half a second that few commands need

        difference_picture(changes, names, picture)
    if len(changes.each) < len(recordings):
        raise typer.Exit(1)


def _print_changes(changes: Changes, before: Sequence[FileScore], names: tuple[str, str]) -> None:
    table = Table(title=f"{names[0]} and {names[1]} on {len(before)} recordings")
    for heading in ("recording", *names, "change", "decision"):
        table.add_column(heading, overflow="fold")
    each = zip(changes.each, before, strict=True)
    for change, score in sorted(each, key=lambda pair: -abs(pair[0].confidence_now - pair[0].confidence)):
        table.add_row(change.file, *_row(change, score))
    wide_console().print(table)
    typer.echo(f"{changes.flips} of {len(before)} decided otherwise; scores move by {changes.mean:.3f} on average")


def _row(change: Change, before: FileScore) -> tuple[str, str, str, str]:
    words = ("call", "no call")
    old, new = words if before.detected else words[::-1]
    decision = f"{old} -> {new}" if change.flipped else old
    moved = change.confidence_now - change.confidence
    return f"{change.confidence:.3f}", f"{change.confidence_now:.3f}", f"{moved:+.3f}", decision


def _scored(recordings: list[Path], *detectors: Detector) -> list[tuple[FileScore, ...]]:
    """What each model makes of the recordings; one that cannot be scored is told, and is in none of the answers."""
    console = Console(stderr=True)
    scored = []
    for recording in track(recordings, "scoring", console=console, transient=True, disable=not console.is_terminal):
        try:
            scored.append([score for detector in detectors for score in scores_of([recording], detector)])
        except AudioError as error:
            typer.echo(f"{recording}: NOT SCORED: {error}", err=True)
    if not scored:
        raise AudioError("none of the recordings could be scored")
    return list(zip(*scored, strict=True))


def _change(data: Path | None, change: Callable[[House, str], Production], by: str | None) -> None:
    who = _who(by)
    with existing_station(load_settings(data=data)) as house:
        pointer = change(house, who)
    typer.echo(
        f"{_name(pointer.model)} is in production, after {_name(pointer.previous)}; "
        "running workers take it up within a minute"
    )


def _who(by: str | None) -> str:
    try:
        return by or getpass.getuser()
    except (KeyError, OSError, ImportError) as error:  # no such user here, as in many containers; or Windows
        raise HaroError("nobody is logged in here: say who does it with --by") from error


def _ref(named: str) -> ModelRef | None:
    """The model of that name; None for the bundled one."""
    return None if named == BUNDLED else ModelRef.named(named)


def _name(model: KnownModel | None) -> str:
    return str(model) if model else BUNDLED


def _role(model: KnownModel | None, pointer: Production | None) -> str:
    """What a model, None for the bundled one, is to the pointer."""
    if model == (pointer.model if pointer else None):
        return "production"
    return "previous" if pointer and model == pointer.previous else ""


def _detector(named: str, settings: Settings) -> Detector:
    """The model of that name, or in that file, tried out. Neither a file nor the bundled one needs a station.

    Raises ModelError, StorageError.
    """
    threads, batch_size = settings.score_threads, settings.score_batch_size
    if named == BUNDLED:
        return load_bundled(settings)
    if named.endswith(".onnx"):
        try_out(_read(Path(named)), source=named, threads=threads, batch_size=batch_size)
        return Detector.load(Path(named), threads=threads, batch_size=batch_size)
    with existing_station(settings) as house:
        registry = house.registry
        if named == PRODUCTION:
            pointer = registry.production()
            model = pointer.model if pointer else None
        else:
            model = registry.entry(ModelRef.named(named)).known
        if model is None:
            return load_bundled(settings)
        return admit(partial(registry.fetch, model), model, threads=threads, batch_size=batch_size)


def _facts(metadata: ModelMetadata, entry: ModelEntry | None) -> Iterator[tuple[str, str]]:
    front_end = metadata.front_end
    yield "classes", f"{', '.join(metadata.classes)}; told of: {metadata.positive_class}"
    yield "hears", f"{front_end.f_min_hz:g} to {front_end.f_max_hz:g} Hz"
    yield "windows", f"{front_end.window_s:g} s, one every {front_end.hop_s:g} s"
    yield "decides", ", ".join(f"{name} {value}" for name, value in metadata.decision.model_dump().items())
    yield "embedding", f"{metadata.embedding_dim} numbers a window"
    yield "made from", metadata.training_data
    yield "licence", metadata.licence
    if entry:
        yield "added", f"{entry.added_at:%Y-%m-%d %H:%M} UTC by {entry.added_by}, {entry.size_bytes / _MB:.1f} MB"
        yield "SHA-256", entry.sha256


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise HaroError(f"{file}: cannot be read ({error.strerror}): check the path") from error
