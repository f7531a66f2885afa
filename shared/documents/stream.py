"""What passes from ingest to scoring: segments in batches, and the gaps between them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field, computed_field

from shared.documents.base import Document, Utc


class Segment(Document):
    """One HLS segment as the playlist lists it: N of liveN.ts, address, start, and nominal length (EXTINF)."""

    index: int = Field(ge=0)
    url: str
    start_utc: Utc
    duration_s: float = Field(gt=0)

    @property
    def end_utc(self) -> datetime:
        """When the segment ends by its nominal length."""
        return self.start_utc + timedelta(seconds=self.duration_s)


def clip_id(batch_id: str) -> str:
    """A batch's id in a form that document ids and file names allow."""
    return batch_id.replace("/", ":")


TimeSource = Literal["program_date_time", "folder_epoch", "carried_forward", "estimated"]


class SegmentBatch(Document):
    """The message on the queue: consecutive segments of one stream folder that make one clip.

    `epoch` is the folder's unix time; `offset_s` what was added to it to reach the first sample. `time_source` says
    where the start times come from: the playlist's EXT-X-PROGRAM-DATE-TIME; the folder's epoch plus the lengths before;
    the last known segment carried forward, when the playlist no longer starts at the beginning; or, when that is not
    known either, an estimate from the segment's index and the mean length.
    """

    hydrophone_id: str
    epoch: int = Field(ge=0)
    segments: tuple[Segment, ...] = Field(min_length=1)
    offset_s: float
    time_source: TimeSource
    origin: Literal["live", "backfill"] = "live"

    @computed_field  # type: ignore[prop-decorator]  # mypy does not follow pydantic's decorator over property
    @property
    def id(self) -> str:
        """`hydrophone/epoch/first-last`."""
        return f"{self.hydrophone_id}/{self.epoch}/{self.first_index}-{self.last_index}"

    @property
    def clip_id(self) -> str:
        """The id in a form that document ids and file names allow."""
        return clip_id(self.id)

    @property
    def first_index(self) -> int:
        """Index of the first segment."""
        return self.segments[0].index

    @property
    def last_index(self) -> int:
        """Index of the last segment."""
        return self.segments[-1].index

    @property
    def start_utc(self) -> datetime:
        """When the first segment starts."""
        return self.segments[0].start_utc

    @property
    def end_utc(self) -> datetime:
        """When the last segment ends."""
        return self.segments[-1].end_utc


GapReason = Literal[
    "missing",  # listed in the playlist, but the server has no such segment
    "corrupt",  # fetched, but not decodable, or far shorter than promised
    "unreachable",  # the server kept failing until the last try
    "not_in_playlist",  # the playlist skips this index
    "folder_gone",  # the folder's playlist vanished before it was read
    "stream_restarted",  # between the end of one folder and the start of the next
    "before_first_contact",  # published before Haro first listened here
]


class Gap(Document):
    """Why a stretch of time, or named segments of it, was never scored."""

    hydrophone_id: str
    epoch: int = Field(ge=0)
    first_index: int | None = None
    last_index: int | None = None
    start_utc: Utc
    end_utc: Utc
    reason: GapReason
    detail: str = ""

    @computed_field  # type: ignore[prop-decorator]  # mypy does not follow pydantic's decorator over property
    @property
    def id(self) -> str:
        """Derived from folder, place and reason; `:` instead of `/`, which document ids may not hold."""
        indices = f"{self.first_index}-{self.last_index}"
        where = indices if self.first_index is not None else f"{self.start_utc:%Y%m%dt%H%M%S}"
        return f"{self.hydrophone_id}:{self.epoch}:{where}:{self.reason}"

    @computed_field  # type: ignore[prop-decorator]  # mypy does not follow pydantic's decorator over property
    @property
    def duration_s(self) -> float:
        """Length of the stretch."""
        return (self.end_utc - self.start_utc).total_seconds()
