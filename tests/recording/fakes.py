"""A clock that is set by hand, a sender that remembers, and results to record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.documents import (
    ClipResult,
    Gap,
    OutboxEntry,
    Provenance,
    StreamHealth,
    WindowScore,
    result_blob_name,
)
from shared.errors import NotificationError
from shared.hydrophones import Hydrophone
from shared.recording.channels import Channel, Notice
from tests.memory_blobs import MemoryBlobs

NOON = datetime(2026, 3, 20, 19, 0, 0, tzinfo=UTC)  # 12:00 on the coast
LAB = Hydrophone(
    id="rpi_orcasound_lab", name="Orcasound Lab", latitude=48.5583362, longitude=-123.1735774, orcasite_feed_id="feed_1"
)
HYDROPHONES = {LAB.id: LAB}


class Clock:
    """The time, moved by hand."""

    def __init__(self, moment: datetime = NOON) -> None:
        self.moment = moment

    def __call__(self) -> datetime:
        """The time now."""
        return self.moment

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.moment += timedelta(seconds=seconds)


class RecordingSender:
    """A Sender that remembers what it sent, and fails the next `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.sent: list[tuple[Channel, Notice]] = []

    def check(self, channel: Channel) -> None:
        """See `Sender.check`: any channel will do."""

    def send(self, channel: Channel, notice: Notice) -> None:
        """See `Sender.send`."""
        if self.failures:
            self.failures -= 1
            raise NotificationError(f"{channel.label} is away")
        self.sent.append((channel, notice))

    def told(self, channel: Channel) -> list[str]:
        """Ids of the detections told to a channel, in order and with repeats."""
        return [one["id"] for to, notice in self.sent if to == channel for one in notice.detections]


def make_result(start_utc: datetime = NOON, *, hydrophone_id: str = LAB.id, **changes: Any) -> ClipResult:
    """The result of a minute, 3-s windows every 2 s, two of them positive, its third segment missing."""
    first = int((start_utc - NOON).total_seconds() // 10) + 100_000
    windows = tuple(
        WindowScore(start_s=2.0 * i, end_s=2.0 * i + 3, score=0.9 if i == 4 else 0.7 if i == 9 else 0.1)
        for i in range(29)
    )
    gap = Gap(
        hydrophone_id=hydrophone_id,
        epoch=1_773_990_017,
        first_index=first + 2,
        last_index=first + 2,
        start_utc=start_utc + timedelta(seconds=20),
        end_utc=start_utc + timedelta(seconds=30),
        reason="missing",
    )
    fields: dict[str, Any] = {
        "batch_id": f"{hydrophone_id}/1773990017/{first}-{first + 5}",
        "hydrophone_id": hydrophone_id,
        "origin": "live",
        "start_utc": start_utc,
        "duration_s": 60.0,
        "sample_rate_hz": 48000,
        "model_version": "haro-small-1",
        "policy": "mean_top_k",
        "threshold": 0.6,
        "detected": True,
        "confidence": 0.8,
        "windows": windows,
        "decision_windows": windows,
        "positive_windows": (4, 9),
        "health": StreamHealth(state="online", level_dbfs=-40.0, channels=1),
        "gaps": (gap,),
        "provenance": Provenance(
            epoch=1_773_990_017,
            first_index=first,
            last_index=first + 5,
            segment_indices=(first, first + 1, first + 3, first + 4, first + 5),
            offset_s=2.0,
            time_source="folder_epoch",
        ),
        "audio_blob": "detections/one.flac",
        "image_blob": "detections/one.png",
        "timings_s": {"decode": 0.1},
    }
    return ClipResult(**fields | changes)


def blobs_of(results: Sequence[ClipResult]) -> tuple[MemoryBlobs, list[str]]:
    """A store that holds these results, and the names they have there."""
    names = [result_blob_name(result.batch_id) for result in results]
    return MemoryBlobs(
        {name: result.model_dump_json().encode() for name, result in zip(names, results, strict=True)}
    ), names


def make_entry(detection_utc: datetime = NOON, **changes: Any) -> OutboxEntry:
    """An entry that waits for moderators."""
    hydrophone = changes.get("hydrophone_id", LAB.id)
    detection = changes.get("detection_id", f"{hydrophone}@{detection_utc.isoformat()}")
    fields: dict[str, Any] = {
        "id": f"channel:{detection}",
        "channel_id": "channel",
        "audience": "moderators",
        "detection_id": detection,
        "hydrophone_id": hydrophone,
        "detection_utc": detection_utc,
        "created_utc": detection_utc,
        "due_utc": detection_utc,
    }
    return OutboxEntry(**fields | changes)
