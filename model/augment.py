"""What recorders and the sea do to a sound, so that a network learns the call and not the recorder.

Every function is pure: mono float32 samples in, samples out, randomness from `rng` alone. The same changes are made to
calls and to other sounds, or they themselves would tell the two apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft, signal

from shared.demo.sea import level_dbfs, mix
from shared.errors import AudioError

Samples = NDArray[np.float32]

SPEEDS = ((9, 10), (14, 15), (19, 20), (20, 19), (15, 14), (10, 9))
"""Ratios of the resampling that shifts pitch and length together, within what one whale's calls vary by."""


def shifted(samples: Samples, rng: np.random.Generator) -> Samples:
    """The sound slower and lower, or faster and higher, by 5 to 11 %."""
    up, down = SPEEDS[int(rng.integers(len(SPEEDS)))]
    return signal.resample_poly(samples, up, down).astype(np.float32)


def placed(sound: Samples, background: Samples, snr_db: float, at: int, *, sample_rate_hz: int) -> Samples:
    """The sound set into the background from sample `at`, which may be negative: what lies outside is cut off.

    The ratio is `shared.demo.sea.mix`'s: both mean squares at 500 Hz-10 kHz, over the busiest 90 % of what is inside.
    Where one of the two is silent, their plain sum is returned.
    """
    inside = sound[max(-at, 0) :]
    start = max(at, 0)
    try:
        return mix(inside, background, snr_db, sample_rate_hz=sample_rate_hz, at_s=start / sample_rate_hz)
    except AudioError:
        out = background.copy()
        stretch = out[start : start + inside.size]
        stretch += inside[: stretch.size]
        return out


def quiet_spectrum(samples: Samples) -> Samples:
    """(bins,): the colour of a recording's own quiet, its recorder without its sounds: amplitude from 0 Hz upwards.

    Each frequency's level is the 20 % quantile over frames of 51 ms (at 20 kHz), so that a call leaves little trace.
    """
    size = min(1024, samples.size // 2 * 2)
    _, _, spectra = signal.stft(samples, nperseg=size, padded=False, boundary=None)
    return np.asarray(np.quantile(np.abs(spectra), 0.2, axis=1), dtype=np.float32)


def noise_of(spectrum: Samples, count: int, rng: np.random.Generator) -> Samples:
    """Stationary noise of `count` samples and RMS 0.1 with the colour that `quiet_spectrum` found."""
    length = fft.next_fast_len(count, real=True)
    bins = fft.rfft(rng.standard_normal(length, dtype=np.float32))
    bins *= np.interp(np.linspace(0, 1, bins.size), np.linspace(0, 1, spectrum.size), spectrum).astype(np.float32)
    noise = fft.irfft(bins, length)[:count]
    return np.asarray(noise * (0.1 / max(_rms(noise), 1e-12)), dtype=np.float32)


def recoloured(samples: Samples, rng: np.random.Generator, *, sample_rate_hz: int) -> Samples:
    """The sound through another recorder: a smooth random response, and perhaps a low cut or a limited band.

    The response wanders by some 6 dB over octaves; the low cut lies at 60-500 Hz; the band ends at 3.5-10 kHz, steeply.
    """
    size = fft.next_fast_len(samples.size + 2048, real=True)
    frequency_hz = fft.rfftfreq(size, 1 / sample_rate_hz)
    octave = np.log2(np.maximum(frequency_hz, 20) / 20)
    knots = np.linspace(0, float(octave[-1]), 7)
    gain_db = np.interp(octave, knots, rng.normal(0, 5, knots.size))
    if rng.random() < 0.4:
        gain_db -= 12 * np.log2(1 + (rng.uniform(60, 500) / np.maximum(frequency_hz, 1)) ** 2)
    if rng.random() < 0.35:
        edge_hz = rng.uniform(3500, 10_000)
        gain_db -= np.clip((frequency_hz - edge_hz) / (0.04 * edge_hz), 0, 1) * rng.uniform(25, 90)
    spectrum = fft.rfft(samples, size) * np.power(10, gain_db / 20).astype(np.float32)
    return np.asarray(fft.irfft(spectrum, size)[: samples.size], dtype=np.float32)


def hissing(samples: Samples, rng: np.random.Generator) -> Samples:
    """The sound with a recorder's hiss, between white and pink, 5 to 45 dB below it."""
    spectrum = fft.rfft(rng.standard_normal(samples.size, dtype=np.float32))
    spectrum[1:] *= np.arange(1, spectrum.size, dtype=np.float32) ** np.float32(-0.5 * rng.random())
    hiss = fft.irfft(spectrum, samples.size)
    level = _rms(samples) * 10 ** (-rng.uniform(5, 45) / 20) / max(_rms(hiss), 1e-12)
    return np.asarray(samples + level * hiss, dtype=np.float32)


def gated(samples: Samples, rng: np.random.Generator) -> Samples:
    """The holes that lossy codecs and denoisers leave: weak cells of the spectrogram are turned down by 15 to 60 dB.

    A cell is weak when it lies below a random quantile (20-80 %) of its own frequency's power over time. All
    frequencies are treated so, or those above some 0.5-2.5 kHz (at 20 kHz).
    """
    size = min(512, samples.size // 2 * 2)
    frequency, _, spectra = signal.stft(samples, nperseg=size)
    power = np.abs(spectra) ** 2
    weak = power < np.quantile(power, rng.uniform(0.2, 0.8), axis=1, keepdims=True)
    if rng.random() < 0.6:
        weak &= (frequency > rng.uniform(0.025, 0.125))[:, None]
    spectra[weak] *= 10 ** (-rng.uniform(15, 60) / 20)
    _, out = signal.istft(spectra, nperseg=size)
    return np.asarray(out[: samples.size], dtype=np.float32)


def recorded(samples: Samples, rng: np.random.Generator, *, sample_rate_hz: int) -> Samples:
    """The sound as some other recorder might have kept it: response, band, hiss, codec, level, at random."""
    if rng.random() < 0.8:
        samples = recoloured(samples, rng, sample_rate_hz=sample_rate_hz)
    if rng.random() < 0.4:
        samples = hissing(samples, rng)
    if rng.random() < 0.15:
        samples = gated(samples, rng)
    wanted_dbfs = rng.uniform(-55, -12)
    samples = samples * np.float32(10 ** ((wanted_dbfs - level_dbfs(samples)) / 20)) if _rms(samples) > 0 else samples
    if rng.random() < 0.3:
        samples = np.round(np.clip(samples, -1, 1) * 32767) / np.float32(32767)
    return np.asarray(samples, dtype=np.float32)


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples), dtype=np.float64)))
