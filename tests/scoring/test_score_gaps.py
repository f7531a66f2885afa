"""Segments that bring no sound: each is waited for, or a gap in its place."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import result_blob_name
from shared.errors import HaroError, StreamNotFound, StreamUnreachable
from shared.scoring.audio import AudioLimits, read_blocks
from shared.scoring.detector import Detector
from shared.scoring.score import KeepPolicy, score_batch
from tests.memory_blobs import MemoryBlobs
from tests.scoring.batches import CALLING, NOW_UTC, START_UTC, batch_of, score, sound
from tests.scoring.fakes import FakeDetector, FakeSource
from tests.scoring.streams import SEGMENT_S, short_segment
from tests.scoring.tiny_model import TINY_FRONT_END, tiny_metadata


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
