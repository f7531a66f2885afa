"""How far ingest has come: the cursor of each stream, and the backfills of past audio."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, computed_field

from shared.documents.base import Document, Utc
from shared.documents.stream import Gap, SegmentBatch


class Backfill(Document):
    """Past audio to be scored: a range of time, or one stretch of one folder.

    Without `epoch` it is a range, which is split into one stretch per folder (each naming it as its `parent`). A
    stretch holds segments `first_index` to `last_index` of its folder; where these are not given, what of the folder
    lies in `[start_utc, end_utc)`, or from `first_index` to the folder's end. `next_epoch` is the folder that came
    after it, None while it may still grow; `known_index` the last segment that its playlist has been seen to list.
    `at_index` and `start_utc` say where the work stands, `tries` how often it failed since it last moved, `retry_utc`
    when to try again.
    """

    id: str
    hydrophone_id: str
    start_utc: Utc
    end_utc: Utc
    reason: Literal["requested", "behind"]
    parent: str = ""
    epoch: int | None = None
    first_index: int | None = None
    last_index: int | None = None
    next_epoch: int | None = None
    known_index: int = -1
    at_index: int = 0
    batches_sent: int = 0
    tries: int = 0
    retry_utc: Utc | None = None
    state: Literal["open", "done"] = "open"
    detail: str = ""


class FinishedFolder(Document):
    """How far a folder behind us was read: `next_index` is its first segment not handed on, at `next_start_utc`."""

    epoch: int
    next_index: int = Field(ge=0)
    next_start_utc: Utc


class Cursor(Document):
    """How far one hydrophone's stream has been read, and what is on its way to the queue.

    `next_index` is the first segment of folder `epoch` not yet handed on, `next_start_utc` its start. `pending`,
    `pending_gaps` and `pending_backfills` were decided together with that position in one conditional write and are
    sent after it: whoever finds them after a crash sends the very same ones again. `seen_index` and `seen_utc` say when
    the playlist last grew, `leaving` that the node was seen to have moved on to another folder, `stuck_since_utc` since
    when an ended folder could not be read, `finished` which folders are behind us.
    """

    hydrophone_id: str
    epoch: int
    next_index: int = Field(ge=0)
    next_start_utc: Utc
    seen_index: int = -1
    seen_utc: Utc
    leaving: bool = False
    stuck_since_utc: Utc | None = None
    finished: tuple[FinishedFolder, ...] = ()
    pending: tuple[SegmentBatch, ...] = ()
    pending_gaps: tuple[Gap, ...] = ()
    pending_backfills: tuple[Backfill, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy does not follow pydantic's decorator over property
    @property
    def id(self) -> str:
        """One cursor per hydrophone."""
        return self.hydrophone_id

    def finished_at(self, epoch: int) -> FinishedFolder | None:
        """Where a folder behind us was left; None for one that was never read."""
        return next((folder for folder in self.finished if folder.epoch == epoch), None)
