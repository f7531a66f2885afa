"""The picture people look at to decide: is that an orca?

Sea noise falls steeply with frequency, so on one plain dB scale a faint call drowns in the colour of the ship below
it. The picture therefore shows dB above the clip's own background: each frequency's median over time, smoothed over
neighbouring frequencies so that only the tilt of the noise goes and steady tones stay. One colour scale holds for all
of it. Frequency runs along the mel scale, as in the model.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import librosa
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter1d

from shared.documents import WindowScore
from shared.scoring.annotations import merged
from shared.scoring.audio import Run, mono

WIDTH_PX, HEIGHT_PX, _DPI = 1280, 480, 100

# Where things stand, in pixels from the left and bottom.
_LEFT, _BOTTOM, _PLOT_WIDTH, _PLOT_HEIGHT = 72, 52, 1120, 360
_STRIP_HEIGHT, _STRIP_GAP, _COLOUR_BAR_WIDTH, _LABEL_WIDTH = 16, 4, 12, 30

_MAX_HZ = 10_000.0
_TICKS_HZ = (200, 500, 1000, 1500, 2000, 3000, 4000, 5000, 6000, 8000, 10_000)
_STEPS_S, _MOST_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300), 12
_LONGEST_NAME = 48

# A window about as long as 1.5 pixels hears faint tones best; it need not be shorter than a call's sweep allows.
_PIXELS_PER_FFT, _LEAST_FFT_S, _MOST_FFT_S = 1.5, 0.032, 0.085
_FRAMES_PER_COLUMN = 2

_SMOOTH_ROWS = 41
_SMOOTH_PX = 0.9  # takes the speckle out of noise, which hides faint calls more than the blur does
_LOW_PERCENTILE, _HIGH_PERCENTILE = 35.0, 99.7
_LEAST_RANGE_DB, _MOST_RANGE_DB = 10.0, 30.0  # pure noise stays dark, and one click does not darken all else
_COLOURS = 64  # as many as an eye can part; more would only make the file larger
_MARK = "#00b3a4"

_Image = NDArray[np.float32]


@dataclass(frozen=True)
class Caption:
    """What the picture says of the clip in words. `confidence` is 0-1, `start_utc` the time at second 0."""

    hydrophone_name: str
    start_utc: datetime
    confidence: float


def render(runs: Sequence[Run], *, duration_s: float, caption: Caption, positives: Sequence[WindowScore]) -> bytes:
    """Draw a clip as a PNG of 1280 x 480 pixels; the same clip always gives the same bytes.

    Args:
        runs: the clip's sound; what lies between them is hatched as a gap.
        duration_s: the clip's length, gaps included, above 0.
        caption: name, time and confidence for the title.
        positives: positive windows, marked above the picture with their highest score.
    """
    image, top_hz = _image(runs, duration_s)
    figure = Figure(figsize=(WIDTH_PX / _DPI, HEIGHT_PX / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes(_place(_LEFT, _BOTTOM, _PLOT_WIDTH, _PLOT_HEIGHT))
    shown = _draw_image(axes, image, duration_s)
    _label_axes(axes, top_hz, duration_s, caption.start_utc)
    _draw_colour_bar(figure, shown)
    _mark_positives(figure, axes, positives, duration_s)
    _write_title(figure, caption)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves this one untyped
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]  # and this one
    # 256 colours, each within 2 % of the one drawn, make the file a third as large and quicker to write.
    reduced = Image.fromarray(pixels).quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    png = io.BytesIO()
    reduced.save(png, "png")
    return png.getvalue()


def _image(runs: Sequence[Run], duration_s: float) -> tuple[_Image, float]:
    """The clip in dB above its background, a value per pixel (rows from low to high, NaN in gaps), and its top."""
    top_hz = min([_MAX_HZ, *(run.waveform.sample_rate_hz / 2 for run in runs)])
    decibel = np.full((_PLOT_HEIGHT, _PLOT_WIDTH), np.nan, np.float32)
    for run in runs:
        first = max(0, round(run.start_s / duration_s * _PLOT_WIDTH))
        last = min(_PLOT_WIDTH, round((run.start_s + run.waveform.duration_s) / duration_s * _PLOT_WIDTH))
        if last > first:
            power = _columns(run, last - first, top_hz)
            decibel[:, first:last] = gaussian_filter(10 * np.log10(power + np.float32(1e-14)), _SMOOTH_PX)
    known = decibel[:, ~np.isnan(decibel[0])]
    if known.size == 0:
        return decibel, top_hz
    background = np.median(known, axis=1)
    return decibel - uniform_filter1d(background, _SMOOTH_ROWS, mode="nearest")[:, None], top_hz


def _columns(run: Run, count: int, top_hz: float) -> _Image:
    """Mean power of a run in `count` columns of equal length and one row per pixel of the mel axis."""
    rate = run.waveform.sample_rate_hz
    samples, _ = mono(run.waveform)
    pixel_s = run.waveform.duration_s / count
    n_fft = 2 ** round(np.log2(np.clip(_PIXELS_PER_FFT * pixel_s, _LEAST_FFT_S, _MOST_FFT_S) * rate))
    frames = count * _FRAMES_PER_COLUMN
    centres = ((np.arange(frames) + 0.5) * (len(samples) / frames)).astype(int)
    padded = np.pad(samples, n_fft // 2)
    hann = np.hanning(n_fft).astype(np.float32)
    rows = _row_weights(n_fft, rate, top_hz)
    power = np.empty((_PLOT_HEIGHT, frames), np.float32)
    for at in range(0, frames, 256):
        cut = np.stack([padded[centre : centre + n_fft] for centre in centres[at : at + 256]])
        spectrum = np.fft.rfft(cut * hann)[:, : rows.shape[1]]
        power[:, at : at + 256] = rows @ (spectrum.real**2 + spectrum.imag**2).T
    mean: _Image = power.reshape(_PLOT_HEIGHT, count, _FRAMES_PER_COLUMN).mean(axis=2) / np.float32((hann**2).sum())
    return mean


def _row_weights(n_fft: int, rate: int, top_hz: float) -> _Image:
    """(rows, FFT bins): how much of each bin lies in a pixel's band, each row summing to 1."""
    edges = librosa.mel_to_hz(np.linspace(0, librosa.hz_to_mel(top_hz, htk=True), _PLOT_HEIGHT + 1), htk=True)
    bins = np.arange(int(np.ceil(top_hz * n_fft / rate)) + 1)
    bins = bins[bins <= n_fft // 2]
    low, high = (bins - 0.5) * rate / n_fft, (bins + 0.5) * rate / n_fft
    overlap = np.minimum(edges[1:, None], high) - np.maximum(edges[:-1, None], low)
    weights = np.maximum(overlap, 0.0).astype(np.float32)
    normalised: _Image = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def _draw_image(axes: Axes, image: _Image, duration_s: float) -> AxesImage:
    """The picture itself on one colour scale, gaps hatched."""
    known = image[:, ~np.isnan(image[0])]
    low, high = np.percentile(known, [_LOW_PERCENTILE, _HIGH_PERCENTILE]) if known.size else (0.0, 0.0)
    high = min(max(high, low + _LEAST_RANGE_DB), low + _MOST_RANGE_DB)
    axes.set_facecolor("white")
    columns = np.flatnonzero(np.diff(np.isnan(image[0]).astype(int), prepend=0, append=0))
    for first, last in columns.reshape(-1, 2) * (duration_s / _PLOT_WIDTH):
        axes.axvspan(first, last, facecolor="#e8e8e8", edgecolor="#9a9a9a", hatch="///", linewidth=0)
    return axes.imshow(
        image,
        origin="lower",
        aspect="auto",
        extent=(0, duration_s, 0, _PLOT_HEIGHT),
        cmap=colormaps["magma"].resampled(_COLOURS),
        vmin=low,
        vmax=high,
        interpolation="nearest",
        zorder=2,
    )


def _label_axes(axes: Axes, top_hz: float, duration_s: float, start_utc: datetime) -> None:
    """Frequency in kHz on the left; below, wall-clock time in UTC and seconds from the clip's start."""
    scale = _PLOT_HEIGHT / librosa.hz_to_mel(top_hz, htk=True)
    ticks_hz = [hz for hz in _TICKS_HZ if hz <= top_hz]
    axes.set_yticks([librosa.hz_to_mel(hz, htk=True) * scale for hz in ticks_hz], [f"{hz / 1000:g}" for hz in ticks_hz])
    axes.set_ylabel("kHz")
    step_s = next((step for step in _STEPS_S if duration_s / step <= _MOST_TICKS), _STEPS_S[-1])
    ticks_s = np.arange(0, duration_s + step_s / 100, step_s)
    axes.set_xticks(ticks_s, [f"{_clock(start_utc, at_s)}\n{at_s:.4g} s" for at_s in ticks_s])
    axes.set_xlim(0, duration_s)
    axes.tick_params(labelsize=8.5, length=3, color="#555555")


def _clock(start_utc: datetime, at_s: float) -> str:
    """UTC wall-clock time, with tenths where the clip does not start or tick on whole seconds."""
    tenths = round(start_utc.astimezone(UTC).timestamp() * 10) + round(at_s * 10)
    moment = datetime.fromtimestamp(tenths // 10, UTC)
    return f"{moment:%H:%M:%S}" + (f".{tenths % 10}" if tenths % 10 else "")


def _draw_colour_bar(figure: Figure, shown: AxesImage) -> None:
    axes = figure.add_axes(_place(_LEFT + _PLOT_WIDTH + 14, _BOTTOM, _COLOUR_BAR_WIDTH, _PLOT_HEIGHT))
    figure.colorbar(shown, cax=axes)
    axes.set_ylabel("dB above the clip's background", fontsize=8.5, labelpad=2)
    axes.tick_params(labelsize=8, length=3, pad=2)


def _mark_positives(figure: Figure, axes: Axes, positives: Sequence[WindowScore], duration_s: float) -> None:
    """A bar with its score above each stretch of positive windows, and its borders drawn through the picture."""
    strip = figure.add_axes(_place(_LEFT, _BOTTOM + _PLOT_HEIGHT + _STRIP_GAP, _PLOT_WIDTH, _STRIP_HEIGHT))
    strip.set(xlim=(0, duration_s), ylim=(0, 1), xticks=[], yticks=[0.5], yticklabels=["orca"], facecolor="#f2f2f2")
    strip.tick_params(labelsize=8.5, length=0)
    strip.spines[:].set_visible(False)
    for at in merged(positives):
        strip.axvspan(at.start_s, at.end_s, color=_MARK, linewidth=0)
        if (at.end_s - at.start_s) / duration_s * _PLOT_WIDTH >= _LABEL_WIDTH:
            label = strip.text((at.start_s + at.end_s) / 2, 0.46, f"{at.score:.2f}", color="white", weight="bold")
            label.set(fontsize=8.5, ha="center", va="center")
        for edge_s in (at.start_s, at.end_s):
            axes.axvline(edge_s, color=_MARK, linewidth=1.2, dashes=(4, 3), zorder=3)


def _write_title(figure: Figure, caption: Caption) -> None:
    y = 1 - 20 / HEIGHT_PX
    left, right = _LEFT / WIDTH_PX, (_LEFT + _PLOT_WIDTH) / WIDTH_PX
    start_utc = caption.start_utc.astimezone(UTC)
    # A name is text, never a formula, whatever signs are in it.
    name = figure.text(left, y, caption.hydrophone_name[:_LONGEST_NAME], fontsize=13, weight="bold", va="center")
    name.set_parse_math(False)
    figure.text(0.5, y, f"{start_utc:%Y-%m-%d %H:%M:%S} UTC", fontsize=12, ha="center", va="center")
    figure.text(right, y, f"confidence {caption.confidence:.0%}", fontsize=12, ha="right", va="center")


def _place(left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
    return (left / WIDTH_PX, bottom / HEIGHT_PX, width / WIDTH_PX, height / HEIGHT_PX)
