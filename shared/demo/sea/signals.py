"""What all synthetic sounds are made with: shaped noise, slow curves, tones, distance, and mixing at a known ratio."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from shared.errors import AudioError

Samples = NDArray[np.float32]
Curve = NDArray[np.float64]

NOISE_BLOCK = 2**19

CALL_BAND_HZ = (500.0, 10_000.0)
"""Where the energy of killer whales' pulsed calls lies: most at 1-6 kHz, second voice above (Ford 1987)."""


def sample_count(duration_s: float, sample_rate_hz: int) -> int:
    """Number of samples nearest to the duration. Raises AudioError for a length below one sample."""
    count = round(duration_s * sample_rate_hz)
    if count < 1:
        raise AudioError(f"A sound of {duration_s} s at {sample_rate_hz} Hz has no samples. Ask for a longer one.")
    return count


def shaped_noise(
    count: int, sample_rate_hz: int, rng: np.random.Generator, density_db: Callable[[Curve], Curve]
) -> Samples:
    """Gaussian noise of expected RMS 1 whose power spectral density follows `density_db(frequency_hz)`.

    Long noise is made in blocks that fade into each other at constant power, so that memory does not grow with length.
    """
    block = min(fft.next_fast_len(count, real=True), NOISE_BLOCK)
    frequency_hz = np.maximum(fft.rfftfreq(block, 1 / sample_rate_hz), 1.0)
    gain = np.power(10.0, density_db(frequency_hz) / 20)
    gain[0] = 0
    gain = (gain / np.sqrt(2 * np.sum(gain**2) / block)).astype(np.float32)
    overlap = block // 16 if count > block else 0
    fade = np.sin(np.linspace(0, np.pi / 2, overlap, dtype=np.float32))
    out = np.zeros(count, dtype=np.float32)
    for start in range(0, count, block - overlap):
        piece = fft.irfft(fft.rfft(rng.standard_normal(block, dtype=np.float32)) * gain, block)
        if overlap:
            piece[:overlap] *= fade if start else 1
            piece[-overlap:] *= fade[::-1]
        part = out[start : start + block]
        part += piece[: part.size]
    return out


def wander(count: int, sample_rate_hz: int, rng: np.random.Generator, period_s: float) -> Samples:
    """A smooth random curve of about unit spread that turns over about every `period_s`: drift and modulation."""
    curve = _smooth_knots(count, sample_rate_hz, rng, period_s)
    return np.interp(np.linspace(0, curve.size - 1, count), np.arange(curve.size), curve).astype(np.float32)


def unrest(count: int, sample_rate_hz: int, rng: np.random.Generator, period_s: float, spread_db: float) -> Samples:
    """A gain that wanders around 1 by `spread_db`: how loud a thing is from moment to moment."""
    curve = 10 ** (spread_db * _smooth_knots(count, sample_rate_hz, rng, period_s) / 20)
    return np.interp(np.linspace(0, curve.size - 1, count), np.arange(curve.size), curve).astype(np.float32)


def _smooth_knots(count: int, sample_rate_hz: int, rng: np.random.Generator, period_s: float) -> Curve:
    knots = int(np.ceil(count / sample_rate_hz / period_s * 2)) + 4
    return np.asarray(signal.resample(rng.standard_normal(knots), knots * 16)[16:-32])


def glide(points: Sequence[float], count: int) -> Curve:
    """A smooth curve of `count` samples through points at equal distances: a contour of frequency."""
    if len(points) == 1:
        return np.full(count, float(points[0]))
    coarse = signal.windows.hann(2 * (count // (2 * len(points))) + 1)
    line = np.interp(np.linspace(0, len(points) - 1, count), np.arange(len(points)), np.asarray(points, dtype=float))
    padded = np.pad(line, coarse.size // 2, mode="reflect", reflect_type="odd") if coarse.size > 1 else line
    return np.asarray(signal.fftconvolve(padded, coarse / coarse.sum(), mode="valid")) if coarse.size > 1 else line


def phase_of(frequency_hz: Curve, sample_rate_hz: int) -> Curve:
    """The phase, in radians, of a tone that follows `frequency_hz`."""
    return np.asarray(2 * np.pi * np.cumsum(frequency_hz) / sample_rate_hz)


def faded(samples: Samples, sample_rate_hz: int, attack_s: float, release_s: float) -> Samples:
    """The sound with raised-cosine ends; ends longer than the sound are shortened to half of it each."""
    out = samples.copy()
    for length_s, end in ((attack_s, slice(None)), (release_s, slice(None, None, -1))):
        length = min(int(length_s * sample_rate_hz), out.size // 2)
        if length:
            out[end][:length] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(length, dtype=np.float32) / length)
    return out


def to_peak(samples: NDArray[np.floating]) -> Samples:
    """The sound scaled to peak 1.0; silence stays silence."""
    highest = float(np.max(np.abs(samples), initial=0.0))
    return np.asarray(samples * (1.0 / highest if highest > 0 else 0.0), dtype=np.float32)


def at_distance(samples: Samples, sample_rate_hz: int, rng: np.random.Generator, range_km: float) -> Samples:
    """The sound as it arrives from `range_km` away: absorption, a surface echo, and a tail of scattered echoes.

    Absorption is Thorp's (1967) formula, dB per km with f in kHz: 0.11 f^2/(1+f^2) + 44 f^2/(4100+f^2). What spreading
    takes away is left to `mix`. The result is longer by the tail and has peak 1.0; the first arrival stays in place.
    """
    tail_s = 0.25 + 0.12 * min(range_km, 5.0)
    tail = rng.standard_normal(int(tail_s * sample_rate_hz)).astype(np.float32)
    tail *= np.exp(-np.arange(tail.size, dtype=np.float32) * (5.0 / tail.size))
    tail *= 0.008 * (0.5 + min(range_km, 5.0)) / np.sqrt(sample_rate_hz / 20_000)
    response = np.zeros(tail.size, dtype=np.float32)
    response[int(0.01 * sample_rate_hz) :] = tail[: tail.size - int(0.01 * sample_rate_hz)]
    response[0] = 1.0
    response[int(rng.uniform(0.001, 0.006) * sample_rate_hz)] -= rng.uniform(0.3, 0.7)
    size = fft.next_fast_len(samples.size + response.size, real=True)
    khz2 = (fft.rfftfreq(size, 1 / sample_rate_hz) / 1000) ** 2
    absorption_db = range_km * (0.11 * khz2 / (1 + khz2) + 44 * khz2 / (4100 + khz2))
    spectrum = fft.rfft(samples, size) * fft.rfft(response, size) * np.power(10.0, -absorption_db / 20)
    return to_peak(fft.irfft(spectrum, size)[: samples.size + response.size])


def band_energy(samples: Samples, sample_rate_hz: int, band_hz: tuple[float, float] = CALL_BAND_HZ) -> float:
    """Sum of squares of what lies within the band, both ends included (by Parseval's theorem)."""
    power = np.abs(fft.rfft(samples.astype(np.float64))) ** 2
    frequency_hz = fft.rfftfreq(samples.size, 1 / sample_rate_hz)
    inside = (frequency_hz >= band_hz[0]) & (frequency_hz <= band_hz[1])
    return float(2 * power[inside].sum() / samples.size)


def level_dbfs(samples: Samples) -> float:
    """RMS level in dB re full scale."""
    return float(20 * np.log10(max(_rms(samples), 1e-10)))


def busiest_stretch(samples: Samples) -> slice:
    """Where the middle nine tenths of the sound's energy lie: underwater acoustics' 90 % duration."""
    energy = np.cumsum(samples.astype(np.float64) ** 2)
    low, high = np.searchsorted(energy, energy[-1] * np.array([0.05, 0.95]))
    return slice(int(low), max(int(high), int(low) + 1))


def mix(sound: Samples, noise: Samples, snr_db: float, *, sample_rate_hz: int, at_s: float = 0.0) -> Samples:
    """Set a sound into noise, starting `at_s` after the noise's start.

    The signal-to-noise ratio is the sound's mean square within `CALL_BAND_HZ` over its 90 % energy duration, divided by
    the noise's mean square within the same band and stretch. What runs past the noise's end is cut off.

    Returns:
        The sum, as long as `noise`.

    Raises:
        AudioError: when either is silent in the band, or the sound starts outside the noise.
    """
    start = round(at_s * sample_rate_hz)
    if not 0 <= start < noise.size:
        raise AudioError(f"A sound at {at_s} s does not start within {noise.size / sample_rate_hz:.3f} s of noise.")
    sound = sound[: noise.size - start]
    active = busiest_stretch(sound)
    behind = noise[start : start + sound.size][active]
    sound_energy, noise_energy = (band_energy(part, sample_rate_hz) for part in (sound[active], behind))
    if sound_energy <= 0 or noise_energy <= 0:
        low_hz, high_hz = CALL_BAND_HZ
        raise AudioError(f"No ratio between sounds of which one is silent in {low_hz:.0f}-{high_hz:.0f} Hz.")
    out = noise.copy()
    out[start : start + sound.size] += sound * np.float32(np.sqrt(noise_energy / sound_energy) * 10 ** (snr_db / 20))
    return out


def _rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples), dtype=np.float64)))
