"""The minute of sound that everything is measured on, as bench/recording.py wrote it.

What makes it is not imported here: this belongs to the processes that are measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from shared.documents import Segment, SegmentBatch
from shared.errors import AudioError
from shared.hydrophones import Hydrophone

START_UTC = datetime(2026, 3, 20, 22, 36, tzinfo=UTC)
_EPOCH = int(START_UTC.timestamp()) - 3600
SEGMENT_LIST = "segments.json"


@dataclass(frozen=True)
class Clip:
    """A batch of segments, and their bytes by address. It is what `shared.scoring.fetch` calls a SegmentSource."""

    batch: SegmentBatch
    data: dict[str, bytes]

    @property
    def duration_s(self) -> float:
        """Its length."""
        return (self.batch.end_utc - self.batch.start_utc).total_seconds()

    @property
    def hears_everything(self) -> dict[str, Hydrophone]:
        """Its hydrophone with a threshold that every clip reaches, so that a picture is drawn."""
        return {self.batch.hydrophone_id: Hydrophone(id=self.batch.hydrophone_id, threshold=0.0)}

    def get(self, url: str, *, max_bytes: int) -> bytes:
        """The bytes of a segment."""
        if len(self.data[url]) > max_bytes:
            raise AudioError(f"{url} has {len(self.data[url])} bytes, more than the {max_bytes} allowed")
        return self.data[url]


def read_clip(folder: Path) -> Clip:
    """The clip that `bench.recording.write_clip` wrote."""
    durations_s: dict[str, float] = json.loads((folder / SEGMENT_LIST).read_text(encoding="utf-8"))
    segments, start_utc = [], START_UTC
    for index, (name, duration_s) in enumerate(durations_s.items()):
        url = f"http://node/hls/{_EPOCH}/{name}"
        segments.append(Segment(index=index, url=url, start_utc=start_utc, duration_s=duration_s))
        start_utc += timedelta(seconds=duration_s)
    batch = SegmentBatch(
        hydrophone_id="bench", epoch=_EPOCH, segments=tuple(segments), offset_s=2.0, time_source="folder_epoch"
    )
    return Clip(batch, {one.url: (folder / Path(urlsplit(one.url).path).name).read_bytes() for one in segments})
