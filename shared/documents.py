"""Every JSON document that passes between stages or is stored, and the containers they are stored in.

All are frozen. Times are aware and in UTC; units are in the names. Ids are derived from what they name, never
random, so that a repeated message writes the same document again.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    computed_field,
)

from shared.errors import MessageError
from shared.storage.ports import Container

_DETECTION_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/orcasound/haro/detection")

Utc = Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]

CURSORS = Container("cursors", partition_key="hydrophone_id")
BACKFILLS = Container("backfills", partition_key="hydrophone_id", indexed=("state",))
GAPS = Container("gaps", partition_key="hydrophone_id", indexed=("start_utc",))
CLIPS = Container("clips", partition_key="hydrophone_id", indexed=("start_utc",))
DETECTIONS = Container("metadata", partition_key="source_guid", indexed=("timestamp", "reviewed"))
OUTBOX = Container("outbox", partition_key="channel_id", indexed=("state", "detection_utc"))
CONTAINERS = (CURSORS, BACKFILLS, GAPS, CLIPS, DETECTIONS, OUTBOX)


class Document(BaseModel):
    """Base of all documents: immutable, and tolerant of fields that a newer version added."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    def to_json(self) -> dict[str, Any]:
        """The document as JSON-ready values."""
        return self.model_dump(mode="json")

    @classmethod
    def parse(cls, text: str | bytes, *, source: str) -> Self:
        """Read the document from JSON text. Raises MessageError naming `source` and every wrong field."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors())
            raise MessageError(f"{source} is not a valid {cls.__name__}: {wrong}") from error


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
        """Derived from folder, segments and reason; `:` instead of `/`, which document ids may not hold."""
        where = f"{self.first_index}-{self.last_index}" if self.first_index is not None else "time"
        return f"{self.hydrophone_id}:{self.epoch}:{where}:{self.reason}"

    @computed_field  # type: ignore[prop-decorator]  # mypy does not follow pydantic's decorator over property
    @property
    def duration_s(self) -> float:
        """Length of the stretch."""
        return (self.end_utc - self.start_utc).total_seconds()


HealthState = Literal["online", "silent", "unintelligible", "no_audio"]


class StreamHealth(Document):
    """How the sound itself is: `level_dbfs` is RMS re full scale, `dead_channels` those left out of the mix.

    `hum_ratio` is the share of the clip's power in mains hum and its harmonics (0-1).
    """

    state: HealthState
    level_dbfs: float | None = None
    hum_ratio: float | None = None
    channels: int = 0
    dead_channels: tuple[int, ...] = ()


class WindowScore(Document):
    """One window of a clip: seconds from the clip's start, and the probability of an orca call."""

    start_s: float
    end_s: float
    score: float = Field(ge=0, le=1)


class Provenance(Document):
    """Where a clip comes from, so that anyone can find the same sound again."""

    epoch: int
    first_index: int
    last_index: int
    segment_indices: tuple[int, ...]
    offset_s: float
    time_source: TimeSource
    first_pts_s: float | None = None


class ClipResult(Document):
    """What the scoring stage found in one batch: `results/…json`, written last, whose arrival starts recording.

    `segment_indices` in the provenance are the segments scored; every other segment of the batch is in `gaps`.
    `windows` carry every score; `positive_windows` are indices into `decision_windows`, which for a smoothing
    policy are not the raw ones. `timings_s` is the only field that differs when the same batch is scored again.
    """

    batch_id: str
    hydrophone_id: str
    origin: Literal["live", "backfill"]
    start_utc: Utc
    duration_s: float
    sample_rate_hz: int
    model_version: str
    policy: str
    threshold: float
    detected: bool
    confidence: float = Field(ge=0, le=1)
    windows: tuple[WindowScore, ...]
    decision_windows: tuple[WindowScore, ...]
    positive_windows: tuple[int, ...]
    health: StreamHealth
    gaps: tuple[Gap, ...]
    provenance: Provenance
    audio_blob: str | None
    image_blob: str | None
    not_kept_because: str | None = None
    timings_s: dict[str, float]

    @property
    def clip_id(self) -> str:
        """The batch id in a form that document ids and file names allow."""
        return self.batch_id.replace("/", ":")

    @property
    def detection_id(self) -> str:
        """UUIDv5 of batch id and model version: the same clip and model give the same detection."""
        return str(uuid.uuid5(_DETECTION_NAMESPACE, f"{self.batch_id}|{self.model_version}"))


class ClipRecord(Document):
    """One minute scored, positive or not: coverage record, drift monitor, pool for learning."""

    id: str
    hydrophone_id: str
    start_utc: Utc
    end_utc: Utc
    model_version: str
    detected: bool
    confidence: float
    max_score: float
    mean_score: float
    health: StreamHealth
    gap_s: float
    result_blob: str
    audio_blob: str | None
    detection_id: str | None


class Backfill(Document):
    """Past audio to be scored: all of `[start_utc, end_utc)`, or one stretch of one folder.

    With `epoch` set, only the segments of that folder from `first_index` to `last_index` (to its end, where that is
    None) are meant. `at_epoch` and `at_index` say where the work stands; `tries` counts failures since it last
    moved.
    """

    id: str
    hydrophone_id: str
    start_utc: Utc
    end_utc: Utc
    reason: Literal["requested", "behind"]
    epoch: int | None = None
    first_index: int = 0
    last_index: int | None = None
    at_epoch: int | None = None
    at_index: int = 0
    batches_sent: int = 0
    tries: int = 0
    state: Literal["open", "done"] = "open"
    detail: str = ""


class Cursor(Document):
    """How far one hydrophone's stream has been read, and what is on its way to the queue.

    `next_index` is the first segment of folder `epoch` not yet handed on, `next_start_utc` its start. `pending`,
    `pending_gaps` and `pending_backfills` were decided together with that position in one conditional write and are
    sent after it: whoever finds them after a crash sends the very same ones again. `seen_index` and `seen_utc` say when
    the playlist last grew, `stuck_since_utc` since when an ended folder could not be read, `finished_epochs` which
    folders are behind us.
    """

    hydrophone_id: str
    epoch: int
    next_index: int = Field(ge=0)
    next_start_utc: Utc
    seen_index: int = -1
    seen_utc: Utc
    stuck_since_utc: Utc | None = None
    finished_epochs: tuple[int, ...] = ()
    pending: tuple[SegmentBatch, ...] = ()
    pending_gaps: tuple[Gap, ...] = ()
    pending_backfills: tuple[Backfill, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy does not follow pydantic's decorator over property
    @property
    def id(self) -> str:
        """One cursor per hydrophone."""
        return self.hydrophone_id


Audience = Literal["moderators", "subscribers", "orcasite"]


class OutboxEntry(Document):
    """One detection to be told to one channel: written first, marked sent after.

    `audience` is who stands behind the channel; `due_utc` is the earliest time to send. Entries that went into the same
    message share its `notice_id`, written before it is first sent, so that a repeat is the same message. `bout_id` is
    the bout as it stood then.
    """

    id: str
    channel_id: str
    audience: Audience
    detection_id: str
    hydrophone_id: str
    detection_utc: Utc
    created_utc: Utc
    due_utc: Utc
    state: Literal["waiting", "sent", "suppressed", "failed"] = "waiting"
    suppressed_because: str = ""
    bout_id: str = ""
    notice_id: str = ""
    attempts: int = 0
    sent_utc: Utc | None = None
    last_error: str = ""


class ChannelLease(Document):
    """Who may speak to a channel now: nobody else, until `until_utc`. One per channel, beside its entries."""

    id: Literal["lease"] = "lease"
    channel_id: str
    until_utc: Utc


def result_blob_name(batch_id: str) -> str:
    """Where the result of a batch lies."""
    return f"results/{batch_id}.json"


def clip_blob_name(batch: SegmentBatch, *, detected: bool, suffix: str) -> str:
    """Where a clip's audio or picture lies. What holds a detection is kept for ever, the rest for some days."""
    container = "detections" if detected else "clips"
    start = batch.start_utc
    stamp = start.strftime("%Y-%m-%dt%H-%M-%Sz")
    clip = f"{batch.hydrophone_id}_{stamp}_{batch.first_index}-{batch.last_index}"
    return f"{container}/{batch.hydrophone_id}/{start:%Y-%m-%d}/{clip}.{suffix}"
