"""The stage: a batch becomes a result, with its files, exactly once."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import ClipResult, Segment, SegmentBatch, result_blob_name
from shared.errors import HaroError, StorageFullError, StreamNotFound, StreamUnreachable
from shared.hydrophones import Hydrophone
from shared.scoring.audio import AudioLimits, read_blocks
from shared.scoring.detector import Detector
from shared.scoring.model_file import SmoothedCount
from shared.scoring.score import KeepPolicy, ScoredClip, score_batch
from tests.memory_blobs import MemoryBlobs
from tests.scoring.fakes import FakeDetector, FakeSource
from tests.scoring.streams import SEGMENT_S, short_segment, stream
from tests.scoring.tiny_model import TINY_FRONT_END, tiny_metadata

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


def strict_at(hydrophone_id: str) -> dict[str, Hydrophone]:
    """One hydrophone with a threshold of its own."""
    return {hydrophone_id: Hydrophone(id=hydrophone_id, threshold=0.9)}


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


def test_bad_segments_become_gaps_in_their_place() -> None:
    """Missing and corrupt segments are gaps with their times; no window touches them, and file time stays clip time."""
    blobs = MemoryBlobs()
    answers: list[bytes | HaroError] = [*sound()[:2], StreamNotFound("HTTP 404"), b"garbage" * 999, *sound()[4:]]

    result = score(answers, blobs=blobs).result

    assert result.provenance.segment_indices == (12, 13, 16, 17)
    assert [(gap.first_index, gap.last_index, gap.reason) for gap in result.gaps] == [
        (14, 14, "missing"),
        (15, 15, "corrupt"),
    ]
    assert result.gaps[0].start_utc == START_UTC + timedelta(seconds=2 * SEGMENT_S)
    assert result.gaps[1].end_utc == START_UTC + timedelta(seconds=4 * SEGMENT_S)
    begin_s, end_s = 2 * SEGMENT_S, 4 * SEGMENT_S
    assert result.windows
    assert all(window.end_s <= begin_s or window.start_s >= end_s for window in result.windows)
    [block] = read_blocks(io.BytesIO(blobs.blobs[cast("str", result.audio_blob)]), block_s=60, overlap_s=0)
    rate = block.waveform.sample_rate_hz
    assert block.waveform.duration_s == pytest.approx(6 * SEGMENT_S, abs=1e-3)
    assert not block.waveform.samples[:, round(begin_s * rate) : round(end_s * rate)].any()


def test_a_batch_without_any_sound_is_still_a_result() -> None:
    """Nothing to hear is coverage too: a result without windows or audio, and a gap for every segment."""
    blobs = MemoryBlobs()

    result = score([b"", StreamNotFound("HTTP 404"), b"garbage" * 999], blobs=blobs, detector=CALLING).result

    assert result.health.state == "no_audio"
    assert (result.detected, result.confidence, result.windows, result.audio_blob) == (False, 0.0, (), None)
    assert [gap.reason for gap in result.gaps] == ["corrupt", "missing", "corrupt"]
    assert result.provenance.segment_indices == ()
    assert list(blobs.blobs) == [result_blob_name(result.batch_id)]


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["good", "missing", "unreachable", "garbage"]), min_size=1, max_size=6))
def test_every_segment_is_scored_or_in_a_gap(states: list[str]) -> None:
    """On the last try, whatever happened, each segment of the batch is in exactly one of the two."""
    bad: dict[str, bytes | HaroError] = {
        "missing": StreamNotFound("404"),
        "unreachable": StreamUnreachable("503"),
        "garbage": b"x" * 9_000,
    }

    result = score([bad.get(state, sound()[i]) for i, state in enumerate(states)], last_try=True).result

    in_gaps = [gap.first_index or 0 for gap in result.gaps]
    assert sorted([*result.provenance.segment_indices, *in_gaps]) == [12 + i for i in range(len(states))]
    reasons = {gap.first_index: gap.reason for gap in result.gaps}
    expected = {"missing": "missing", "unreachable": "unreachable", "garbage": "corrupt"}
    assert reasons == {12 + i: expected[state] for i, state in enumerate(states) if state in expected}


def test_what_may_still_come_writes_nothing() -> None:
    """While a segment may still be uploaded, the batch goes back to the queue as it was."""
    blobs = MemoryBlobs()
    just_now = START_UTC + timedelta(seconds=2 * SEGMENT_S + 5)

    with pytest.raises(StreamNotFound):
        score([sound()[0], StreamNotFound("HTTP 404")], blobs=blobs, now=lambda: just_now)

    assert blobs.blobs == {}


def test_a_full_disk_costs_the_files_not_the_result(caplog: pytest.LogCaptureFixture) -> None:
    """Without room for audio and picture, that is logged as an error, said in the result, and recording goes on."""
    blobs = MemoryBlobs(full=("detections/",))

    with caplog.at_level(logging.ERROR):
        result = score(sound(), blobs=blobs, detector=CALLING).result

    assert result.detected
    assert (result.audio_blob, result.image_blob) == (None, None)
    assert "no room left" in (result.not_kept_because or "")
    assert list(blobs.blobs) == [result_blob_name(result.batch_id)]
    assert sum("no room left" in record.message for record in caplog.records) == 2


def test_a_result_that_cannot_be_written_is_an_error() -> None:
    """The result is what recording waits for: no room for it puts the message back."""
    with pytest.raises(StorageFullError):
        score(sound(), blobs=MemoryBlobs(full=("results/",)))


def test_only_detections_are_kept_when_so_set() -> None:
    """`keep_clips=detections` stores no audio of other clips, and the format is the one that was set."""
    policy = KeepPolicy(clips="detections", clip_format="wav")
    quiet, calling = MemoryBlobs(), MemoryBlobs()

    quiet_result = score(sound(), blobs=quiet, keep=policy).result
    calling_result = score(sound(), blobs=calling, keep=policy, detector=CALLING).result

    assert quiet_result.audio_blob is None
    assert quiet_result.not_kept_because == "only detections are kept"
    assert (calling_result.audio_blob or "").endswith(".wav")
    assert calling.blobs[cast("str", calling_result.audio_blob)].startswith(b"RIFF")


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


def test_quiet_and_humming_clips_are_scored_and_kept() -> None:
    """A silent clip says so in its health, and is scored and stored like any other."""
    result = score(stream(2, level=1e-5)).result

    assert result.health.state == "silent"
    assert result.windows
    assert result.audio_blob is not None


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


def test_a_segment_too_short_for_any_window_is_a_gap() -> None:
    """A third of a second between two missing segments, less than one FFT needs, is told and not counted as heard."""
    wide = TINY_FRONT_END.model_copy(update={"n_fft": 8000})
    missing = StreamNotFound("gone")
    batch = batch_of(3)
    lone = batch.segments[1].model_copy(update={"duration_s": 0.32})
    batch = batch.model_copy(update={"segments": (batch.segments[0], lone, batch.segments[2])})
    answers: dict[int, bytes | HaroError] = {12: missing, 13: short_segment(5), 14: missing}

    result = score_batch(
        batch,
        http=FakeSource(answers),
        blobs=MemoryBlobs(),
        detector=cast("Detector", FakeDetector([0.1], tiny_metadata(wide))),
        keep=KeepPolicy(),
        limits=AudioLimits(10_000_000, 600),
        hydrophones={},
        now=lambda: NOW_UTC,
        last_try=True,
    ).result

    assert result.provenance.segment_indices == ()
    assert [gap.first_index for gap in result.gaps] == [12, 13, 14]
    assert "too short" in result.gaps[1].detail
