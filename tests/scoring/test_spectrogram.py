"""The picture: its size, its marks, and that a faint call can be seen in it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image
from scipy.signal import lfilter

from shared.documents import WindowScore
from shared.scoring.audio import Run, Samples, Waveform
from shared.scoring.spectrogram import Caption, render

RATE_HZ = 20_000
LEFT, RIGHT, TOP, BOTTOM = 72, 1192, 68, 428  # the plot, in pixels from the left and top
STRIP_Y = 49
MARK = (0, 179, 164)
CAPTION = Caption("Orcasound Lab", datetime(2026, 3, 20, 22, 35, 59, 420_000, UTC), 0.87)


def sea(duration_s: float, *, level: float = 0.01, seed: int = 0) -> Samples:
    """Noise that falls with frequency, as the sea's does."""
    white = np.random.default_rng(seed).standard_normal(round(duration_s * RATE_HZ))
    return (level * lfilter([1.0], [1.0, -0.9], white)).astype(np.float32)


def run(samples: Samples, start_s: float = 0.0, rate_hz: int = RATE_HZ) -> Run:
    """A mono run."""
    return Run(Waveform(samples[None], rate_hz), start_s)


def picture(
    runs: Sequence[Run], duration_s: float, positives: Sequence[WindowScore] = (), caption: Caption = CAPTION
) -> np.ndarray:
    """The rendered picture's pixels (480, 1280, 3)."""
    png = render(runs, duration_s=duration_s, caption=caption, positives=positives)
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB")).astype(int)


def brightness(pixels: np.ndarray, *, from_s: float, to_s: float, duration_s: float) -> np.ndarray:
    """Mean brightness of each row of the plot between two times."""
    first, last = (round(LEFT + at_s / duration_s * (RIGHT - LEFT)) for at_s in (from_s, to_s))
    rows: np.ndarray = pixels[TOP + 2 : BOTTOM - 2, first + 3 : last - 3].mean(axis=(1, 2))
    return rows


def is_mark(pixels: np.ndarray) -> np.ndarray:
    """Where pixels have the colour of a mark."""
    found: np.ndarray = np.all(np.abs(pixels - np.array(MARK)) <= 5, axis=-1)
    return found


@pytest.mark.parametrize("duration_s", [0.5, 9.984, 60.0107])
def test_every_picture_has_one_size(duration_s: float) -> None:
    """1280 x 480 pixels, however long the clip."""
    assert picture([run(sea(duration_s))], duration_s).shape == (480, 1280, 3)


def test_a_faint_call_stands_out() -> None:
    """A tone 25 dB below the noise around it is brighter than any other row of its second, and where its pitch is."""
    noise = sea(30.0)
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    noise[20 * RATE_HZ : 22 * RATE_HZ] += (
        10 ** (-25 / 20) * noise.std() * np.sqrt(2) * np.sin(2 * np.pi * 3000 * t)
    ).astype(np.float32)

    rows = brightness(picture([run(noise)], 30.0), from_s=20.0, to_s=22.0, duration_s=30.0)

    mel_share = np.log10(1 + 3000 / 700) / np.log10(1 + 10_000 / 700)
    assert rows.argmax() == pytest.approx((1 - mel_share) * len(rows), abs=4)
    assert rows.max() > np.sort(rows)[:-10].max() + 15


def test_there_is_no_seam() -> None:
    """Steady noise looks the same in both halves: one colour scale holds for all of it."""
    pixels = picture([run(sea(60.0))], 60.0)

    left, right = (brightness(pixels, from_s=a, to_s=a + 30, duration_s=60.0).mean() for a in (0.0, 30.0))
    assert left == pytest.approx(right, rel=0.03)


def test_loud_and_faint_parts_share_one_scale() -> None:
    """A part that is 10 dB louder looks louder; it is not stretched to look alike."""
    pixels = picture([run(np.concatenate([sea(40.0), sea(20.0, level=0.0316)]))], 60.0)

    faint = brightness(pixels, from_s=0.0, to_s=40.0, duration_s=60.0).mean()
    assert brightness(pixels, from_s=40.0, to_s=60.0, duration_s=60.0).mean() > 2 * faint


def test_detected_windows_are_marked() -> None:
    """A bar stands above each stretch of positive windows, and nowhere else."""
    positives = [WindowScore(start_s=a, end_s=a + 3, score=0.9) for a in (20.0, 22.0, 40.0)]

    strip = is_mark(picture([run(sea(60.0))], 60.0, positives))[STRIP_Y, LEFT:RIGHT]

    marked = np.zeros(RIGHT - LEFT, bool)
    for start_s, end_s in ((20, 25), (40, 43)):
        marked[round(start_s / 60 * len(marked)) : round(end_s / 60 * len(marked))] = True
    assert (strip != marked).sum() <= 4  # a pixel's rounding at each end


def test_nothing_is_marked_without_a_detection() -> None:
    """A clip without positive windows has no mark anywhere."""
    assert not is_mark(picture([run(sea(60.0))], 60.0)).any()


def test_gaps_are_hatched() -> None:
    """Missing sound is grey with hatching, from its start to its end; there is no grey elsewhere in the plot."""
    sound = sea(60.0)
    pixels = picture([run(sound[: 20 * RATE_HZ]), run(sound[30 * RATE_HZ :], 30.0)], 60.0)

    row = pixels[(TOP + BOTTOM) // 2, LEFT + 2 : RIGHT - 2]
    light = np.flatnonzero((row.min(axis=1) > 140) & (np.ptp(row, axis=1) < 6)) / len(row) * 60
    assert light.min() == pytest.approx(20.0, abs=0.3)
    assert light.max() == pytest.approx(30.0, abs=0.3)
    assert len(np.unique(row[round(len(row) * 0.35) : round(len(row) * 0.48), 0])) > 1


@pytest.mark.parametrize(
    ("runs", "duration_s"),
    [
        ([], 60.0),
        ([run(np.zeros(60 * RATE_HZ, np.float32))], 60.0),
        ([run(sea(0.01))], 0.01),
        ([run(sea(5.0), rate_hz=8000)], 12.5),
        ([run(sea(5.0), rate_hz=96_000), run(sea(1.0), 3.0)], 4.0),
    ],
    ids=["all gap", "digital silence", "10 ms", "8 kHz", "two rates"],
)
def test_odd_clips_have_a_picture_too(runs: list[Run], duration_s: float) -> None:
    """Whatever was decoded, there is a picture and no warning."""
    assert picture(runs, duration_s).shape == (480, 1280, 3)


@pytest.mark.parametrize("name", ["", "$\\frac{", "Sunset Bay " * 30, "Haro Strait — Ħydrophone №1"])
def test_any_name_can_be_written(name: str) -> None:
    """A name is text, not a formula, and a long one is cut."""
    picture([run(sea(1.0))], 1.0, caption=Caption(name, CAPTION.start_utc, 0.0))


def test_the_same_clip_gives_the_same_bytes_in_any_thread() -> None:
    """Bytes do not hang on the time of day nor on what other threads draw."""
    clips = [[run(sea(10.0, seed=seed))] for seed in range(2)]

    def png(runs: list[Run]) -> bytes:
        return render(runs, duration_s=10.0, caption=CAPTION, positives=[])

    alone = [png(runs) for runs in clips]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(png, clips))

    assert alone == together
