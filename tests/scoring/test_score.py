"""The stage: a batch becomes a result, with its files, exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from shared.documents import ClipResult
from shared.hydrophones import Hydrophone
from shared.scoring.audio import AudioLimits
from shared.scoring.detector import Detector
from shared.scoring.model_file import SmoothedCount
from shared.scoring.score import KeepPolicy, score_batch
from tests.memory_blobs import MemoryBlobs
from tests.scoring.batches import CALLING, NOW_UTC, QUIET, START_UTC, batch_of, score, sound
from tests.scoring.fakes import FakeDetector, FakeSource
from tests.scoring.streams import SEGMENT_S
from tests.scoring.tiny_model import tiny_metadata


def strict_at(hydrophone_id: str) -> dict[str, Hydrophone]:
    """One hydrophone with a threshold of its own."""
    return {hydrophone_id: Hydrophone(id=hydrophone_id, threshold=0.9)}


def test_a_clip_without_calls() -> None:
    """Six sound segments give one result with every window's score, and the clip's audio as FLAC."""
    blobs = MemoryBlobs()

    scored = score(sound(), blobs=blobs)

    result = scored.result
    assert scored.fresh
    assert scored.result_blob == "results/rpi_orcasound_lab/1773990017/12-17.json"
    assert (result.detected, result.gaps, result.health.state) == (False, (), "online")
    assert result.start_utc == START_UTC
    assert result.duration_s == pytest.approx(6 * SEGMENT_S, abs=1e-5)
    assert [window.start_s for window in result.windows] == [0.5 * i for i in range(35)]
    assert result.provenance.segment_indices == (12, 13, 14, 15, 16, 17)
    assert result.provenance.first_pts_s == pytest.approx(0.936)
    assert list(blobs.blobs) == [result.audio_blob, scored.result_blob]
    assert result.audio_blob == ("clips/rpi_orcasound_lab/2026-03-20/rpi_orcasound_lab_2026-03-20t22-35-59z_12-17.flac")
    assert result.image_blob is None
    assert set(result.timings_s) == {"fetch", "decode", "health", "prepare", "features", "inference", "audio"}


def test_a_detection_is_written_audio_picture_result() -> None:
    """The result comes last, after the audio and the picture that it names."""
    blobs = MemoryBlobs()

    scored = score(sound(), blobs=blobs, detector=CALLING)

    result = scored.result
    assert result.detected
    assert result.confidence == pytest.approx(0.85)
    assert result.positive_windows == (1, 2)
    assert [result.decision_windows[i].start_s for i in result.positive_windows] == [0.5, 1.0]
    assert list(blobs.blobs) == [result.audio_blob, result.image_blob, scored.result_blob]
    assert all(name.startswith("detections/rpi_orcasound_lab/2026-03-20/") for name in list(blobs.blobs)[:2])
    assert blobs.blobs[cast("str", result.image_blob)].startswith(b"\x89PNG")
    assert ClipResult.parse(blobs.blobs[scored.result_blob], source="test") == result


def test_a_message_that_comes_again_changes_nothing() -> None:
    """With its result there, a batch is neither fetched nor scored nor written again."""
    blobs = MemoryBlobs()
    first = score(sound(), blobs=blobs, detector=CALLING)
    before = dict(blobs.blobs)
    silent_server = FakeSource({})

    again = score_batch(
        batch_of(6),
        http=silent_server,
        blobs=blobs,
        detector=cast("Detector", QUIET),
        keep=KeepPolicy(),
        limits=AudioLimits(1, 1),
        hydrophones={},
        now=lambda: NOW_UTC,
        last_try=True,
    )

    assert (again.result, again.fresh) == (first.result, False)
    assert silent_server.asked == []
    assert blobs.blobs == before


def test_two_workers_with_one_message_agree() -> None:
    """Whoever writes the result second takes the first one's."""
    blobs = MemoryBlobs()
    theirs = score(sound(), detector=CALLING).result

    class Racing(MemoryBlobs):
        def put(
            self, name: str, data: bytes, *, overwrite: bool = True, metadata: Mapping[str, str] | None = None
        ) -> bool:
            if name.startswith("results/"):
                self.blobs[name] = theirs.model_dump_json().encode()
            return super().put(name, data, overwrite=overwrite, metadata=metadata)

    scored = score(sound(), blobs=Racing(blobs=blobs.blobs))

    assert not scored.fresh
    assert scored.result == theirs


def test_scoring_again_differs_in_timings_only() -> None:
    """The same bytes give the same files and the same result, but for how long it took."""
    first, second = MemoryBlobs(), MemoryBlobs()

    one, other = score(sound(), blobs=first, detector=CALLING), score(sound(), blobs=second, detector=CALLING)

    assert one.result.model_copy(update={"timings_s": {}}) == other.result.model_copy(update={"timings_s": {}})
    files = [name for name in first.blobs if not name.startswith("results/")]
    assert all(first.blobs[name] == second.blobs[name] for name in files)


def test_a_hydrophone_has_its_own_threshold() -> None:
    """An override decides in place of the model's threshold, and only for its hydrophone."""
    strict = score(sound(), detector=CALLING, hydrophones=strict_at("rpi_orcasound_lab")).result
    other = score(sound(), detector=CALLING, hydrophones=strict_at("rpi_bush_point")).result

    assert (strict.detected, strict.threshold) == (False, 0.9)
    assert (other.detected, other.threshold) == (True, 0.6)


def test_the_smoothing_policy_has_its_own_windows() -> None:
    """With `smoothed_count` the positive windows are indices into the rolling mean, one more than the scores."""
    metadata = tiny_metadata().model_copy(update={"decision": SmoothedCount()})
    detector = FakeDetector([0.1, 0.9, 0.9, 0.9, 0.9, 0.1], metadata)

    result = score(sound(), detector=detector).result

    assert result.detected
    assert len(result.decision_windows) == len(result.windows) + 1
    assert result.positive_windows == (2, 3, 4)


def test_the_real_segments_go_through(shared_dir: Path) -> None:
    """Twelve real segments, renamed into one stream, are all scored, none lost to the breaks in their time."""
    files = sorted((shared_dir / "audio" / "segments").glob("*.ts"))
    batch = batch_of(12, first=0)
    segments = [
        segment.model_copy(update={"duration_s": 10.0, "start_utc": START_UTC + timedelta(seconds=10 * i)})
        for i, segment in enumerate(batch.segments)
    ]

    scored = score_batch(
        batch.model_copy(update={"segments": tuple(segments)}),
        http=FakeSource({i: file.read_bytes() for i, file in enumerate(files)}),
        blobs=MemoryBlobs(),
        detector=cast("Detector", QUIET),
        keep=KeepPolicy(),
        limits=AudioLimits(10_000_000, 600),
        hydrophones={},
        now=lambda: NOW_UTC,
        last_try=False,
    )

    assert scored.result.provenance.segment_indices == tuple(range(12))
    assert scored.result.gaps == ()
    assert scored.result.sample_rate_hz == 48_000
    assert scored.result.health.channels in {1, 2}
