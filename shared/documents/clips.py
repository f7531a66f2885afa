"""What passes from scoring to recording: a clip, its scores, its health, and where it comes from."""

from __future__ import annotations

import uuid
from typing import Literal

from pydantic import Field

from shared.documents.base import Document, Utc
from shared.documents.stream import Gap, SegmentBatch, TimeSource, clip_id

_DETECTION_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/orcasound/haro/detection")

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
        return clip_id(self.batch_id)

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


def result_blob_name(batch_id: str) -> str:
    """Where the result of a batch lies."""
    return f"results/{batch_id}.json"


def batch_id_of(result_blob: str) -> str:
    """The batch whose result lies there."""
    return result_blob.removeprefix("results/").removesuffix(".json")


def clip_blob_name(batch: SegmentBatch, *, detected: bool, suffix: str) -> str:
    """Where a clip's audio or picture lies. What holds a detection is kept for ever, the rest for some days."""
    container = "detections" if detected else "clips"
    start = batch.start_utc
    stamp = start.strftime("%Y-%m-%dt%H-%M-%Sz")
    clip = f"{batch.hydrophone_id}_{stamp}_{batch.first_index}-{batch.last_index}"
    return f"{container}/{batch.hydrophone_id}/{start:%Y-%m-%d}/{clip}.{suffix}"
