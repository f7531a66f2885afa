"""A batch of segments, scored as the stage does it: everything that a test does not say is as usual."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

from shared.documents import Segment, SegmentBatch
from shared.errors import HaroError
from shared.scoring.audio import AudioLimits
from shared.scoring.detector import Detector
from shared.scoring.score import KeepPolicy, ScoredClip, score_batch
from tests.memory_blobs import MemoryBlobs
from tests.scoring.fakes import FakeDetector, FakeSource
from tests.scoring.streams import SEGMENT_S, stream

START_UTC = datetime(2026, 3, 20, 22, 35, 59, tzinfo=UTC)
NOW_UTC = START_UTC + timedelta(hours=1)


QUIET, CALLING = FakeDetector([0.1]), FakeDetector([0.1, 0.9, 0.8, 0.1])


@cache
def sound() -> tuple[bytes, ...]:
    """Six consecutive segments."""
    return tuple(stream(6))


def batch_of(count: int, *, first: int = 12) -> SegmentBatch:
    """A batch of `count` segments from `first` on."""
    return SegmentBatch(
        hydrophone_id="rpi_orcasound_lab",
        epoch=1_773_990_017,
        segments=tuple(
            Segment(
                index=first + i,
                url=f"http://node/hls/1773990017/live{first + i:03d}.ts",
                start_utc=START_UTC + timedelta(seconds=SEGMENT_S * i),
                duration_s=SEGMENT_S,
            )
            for i in range(count)
        ),
        offset_s=2.0,
        time_source="folder_epoch",
    )


def score(
    answers: Sequence[bytes | HaroError],
    *,
    blobs: MemoryBlobs | None = None,
    detector: FakeDetector = QUIET,
    **other: Any,
) -> ScoredClip:
    """Score a batch of these segments."""
    batch = batch_of(len(answers))
    arguments: dict[str, Any] = {
        "keep": KeepPolicy(),
        "limits": AudioLimits(10_000_000, 600),
        "hydrophones": {},
        "now": lambda: NOW_UTC,
        "last_try": False,
    }
    return score_batch(
        batch,
        http=FakeSource({segment.index: answer for segment, answer in zip(batch.segments, answers, strict=True)}),
        blobs=blobs if blobs is not None else MemoryBlobs(),
        detector=cast("Detector", detector),
        **(arguments | other),
    )
