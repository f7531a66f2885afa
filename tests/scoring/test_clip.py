"""From runs of sound to scores: the grid of windows, gaps, channels and peak normalisation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.scoring.audio import Run, Samples, Waveform
from shared.scoring.clip import ClipScores, score_clip
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel, peak_normalize
from shared.scoring.resampling import resample
from tests.scoring.tiny_model import TINY_FRONT_END, write_tiny_model

RATE_HZ = TINY_FRONT_END.sample_rate_hz
TINY = LogMel(TINY_FRONT_END)
PEAK = LogMel(TINY_FRONT_END.model_copy(update={"peak_normalize": True}))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """The tiny model: its embedding is a window's mean level."""
    return Detector.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", level_db=-20.0))


def noise(duration_s: float, *, level: float = 0.1, seed: int = 0) -> Samples:
    """Mono noise at the tiny model's rate."""
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal(round(duration_s * RATE_HZ))).astype(np.float32)


def run(*channels: Samples, start_s: float = 0.0, rate_hz: int = RATE_HZ) -> Run:
    """A run of these channels."""
    return Run(Waveform(np.stack(channels), rate_hz), start_s=start_s)


def levels(clip: ClipScores) -> list[float]:
    """What the tiny model heard in each window."""
    return [float(level) for level in clip.embeddings[:, 0]]


def starts_s(clip: ClipScores) -> list[float]:
    """Where the windows start."""
    return [start_s for start_s, _ in clip.spans_s]


def test_an_unbroken_clip_is_all_its_windows(detector: Detector) -> None:
    """Windows of 1 s every half second, each with its score and embedding and the time it took."""
    clip = score_clip([run(noise(5.0))], TINY, detector)

    assert starts_s(clip) == pytest.approx([k * 0.5 for k in range(9)])
    assert all(end_s - start_s == 1.0 for start_s, end_s in clip.spans_s)
    assert clip.scores.shape == (9,)
    assert clip.embeddings.shape == (9, 4)
    assert set(clip.timings_s) == {"prepare", "features", "inference"}


def test_windows_that_touch_a_gap_are_not_scored(detector: Detector) -> None:
    """With 2.2 s to 3.1 s missing, whole windows lie before and after on the clip's own grid, and hear the same."""
    sound = noise(6.0)
    before, after = sound[: round(2.2 * RATE_HZ)], sound[round(3.1 * RATE_HZ) :]

    whole = score_clip([run(sound)], TINY, detector)
    broken = score_clip([run(before), run(after, start_s=3.1)], TINY, detector)

    assert starts_s(broken) == pytest.approx([0.0, 0.5, 1.0, 3.5, 4.0, 4.5, 5.0])
    heard = dict(zip(starts_s(whole), levels(whole), strict=True))
    assert levels(broken) == pytest.approx([heard[start_s] for start_s in starts_s(broken)], abs=1e-4)


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 4 * RATE_HZ), min_size=1, max_size=4),
    gaps=st.lists(st.integers(1, 2 * RATE_HZ), min_size=4, max_size=4),
)
def test_every_whole_window_on_the_grid_is_scored_once(detector: Detector, lengths: list[int], gaps: list[int]) -> None:
    """The windows are the grid points whose second lies within one run; a run without one has one of its own."""
    spans, at = [], 0
    for length, gap in zip(lengths, gaps, strict=False):
        spans.append((at, at + length))
        at += length + gap
    step = RATE_HZ // 2
    expected: list[float] = []
    unheard = []
    for number, (a, b) in enumerate(spans):
        whole = [k * 0.5 for k in range(at // step + 1) if a <= k * step and k * step + RATE_HZ <= b]
        short = [a / RATE_HZ] if b - a >= TINY.min_samples else []
        expected += whole or short
        unheard += [] if whole or short else [number]

    clip = score_clip([run(noise((b - a) / RATE_HZ), start_s=a / RATE_HZ) for a, b in spans], TINY, detector)

    assert starts_s(clip) == pytest.approx(expected)
    assert list(clip.unheard) == unheard
    for start_s, end_s in clip.spans_s:
        assert any(a / RATE_HZ - 1e-6 <= start_s and end_s <= b / RATE_HZ + 1e-6 for a, b in spans)


def test_runs_shorter_than_a_window_have_one_short_window_each(detector: Detector) -> None:
    """Sound between two gaps is scored with what there is, and the window's length says so."""
    clip = score_clip([run(noise(0.1)), run(noise(0.4), start_s=3.0), run(noise(2.0), start_s=5.0)], TINY, detector)

    assert clip.spans_s[0] == pytest.approx((0.0, 0.1))
    assert clip.spans_s[1] == pytest.approx((3.0, 3.4))
    assert starts_s(clip)[2:] == [5.0, 5.5, 6.0]


@pytest.mark.parametrize("runs", [[], [run(noise(0.01))], [run(noise(0.0))]])
def test_a_clip_with_next_to_no_sound_has_no_windows(detector: Detector, runs: list[Run]) -> None:
    """Nothing to score is no error: the clip is empty."""
    clip = score_clip(runs, TINY, detector)

    assert clip.spans_s == ()
    assert clip.unheard == tuple(range(len(runs)))
    assert clip.scores.shape == (0,)
    assert clip.embeddings.shape == (0, 4)


def test_a_dead_channel_does_not_halve_the_sound(detector: Detector) -> None:
    """A stereo clip with one dead channel scores as its live channel alone, and names the dead one."""
    live = noise(2.0)

    clip = score_clip([run(live, np.zeros_like(live))], TINY, detector)

    assert clip.dead_channels == (1,)
    assert levels(clip) == pytest.approx(levels(score_clip([run(live)], TINY, detector)))


def test_peak_normalisation_is_over_the_whole_clip(detector: Detector) -> None:
    """The faint run stays as much fainter than the loud one as it was; both rise together."""
    loud, faint = noise(2.0, level=0.1), noise(2.0, level=0.001, seed=1)

    clip = score_clip([run(loud), run(faint, start_s=4.0)], PEAK, detector)

    plain = score_clip([run(loud), run(faint, start_s=4.0)], TINY, detector)
    gain_db = -20 * np.log10(np.abs(loud).max())
    assert levels(clip) == pytest.approx([level + gain_db for level in levels(plain)], abs=1e-3)


def test_runs_are_resampled_whole(detector: Detector) -> None:
    """A clip at another rate is resampled once, then cut: features equal those of the resampled whole."""
    at_48k = (0.1 * np.random.default_rng(5).standard_normal(3 * 48_000)).astype(np.float32)

    clip = score_clip([run(at_48k, rate_hz=48_000)], PEAK, detector)

    mel = PEAK.mel_db(peak_normalize(resample(at_48k, 48_000, RATE_HZ)))
    assert levels(clip) == pytest.approx(levels_of(mel), abs=1e-3)


def levels_of(mel_db: np.ndarray) -> list[float]:
    """Each window's mean level; the tiny model's padding repeats row means, which leaves it as it is."""
    return [float(level) for level in mel_db.mean(axis=(1, 2))]


def test_the_same_clip_scores_the_same(detector: Detector, tmp_path: Path) -> None:
    """Nothing is random: two goes agree to the last bit."""
    first, second = (score_clip([run(noise(3.0))], TINY, detector) for _ in range(2))

    assert np.array_equal(first.scores, second.scores)
    assert np.array_equal(first.embeddings, second.embeddings)
