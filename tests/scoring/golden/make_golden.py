"""Makes `frontend.npz`: the log-mel features of a synthetic sound, worked out from the formulas alone.

Nothing of Haro, librosa or scipy is used: a resampling filter from its definition, a DFT as a matrix, mel triangles
from the HTK formula, all in float64. Every second frame is kept, in thousandths of a dB. To make the file again:
`python -m tests.scoring.golden.make_golden`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GOLDEN = Path(__file__).with_name("frontend.npz")
SOURCE_RATE_HZ = 48_000
RATE_HZ = 20_000
KEEP_EVERY = 2

Signal = NDArray[np.float64]


def noise(n: int) -> Signal:
    """So many samples from -1 to 1, by the generator of Knuth's MMIX: every machine makes the same."""
    state = np.uint64(1)
    found = np.empty(n)
    with np.errstate(over="ignore"):
        for i in range(n):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            found[i] = float(state >> np.uint64(40)) / 2**23 - 1.0
    return found


def synthetic_sound() -> Signal:
    """3.2 s at 48 kHz: a sweeping call with harmonics over faint noise, then hardly a sound, and a click."""
    n = int(3.2 * SOURCE_RATE_HZ)
    t = np.arange(n) / SOURCE_RATE_HZ
    sweep = 2 * np.pi * (700 * t + 120 * t**2)
    envelope = np.exp(-(((t - 0.9) / 0.35) ** 2))
    call = sum(np.sin(k * sweep) / k for k in range(1, 9)) * envelope
    click = np.where(np.abs(t - 2.9) < 0.0002, 0.7, 0.0)
    faint: Signal = 0.2 * call + click + noise(n) * np.where(t < 1.6, 1e-3, 1e-5)
    return faint


def resampled(x: Signal, up: int, down: int) -> Signal:
    """Zeros put between, a windowed sinc (Kaiser, beta 5, 10 zero crossings a side), every `down`-th sample kept."""
    half = 10 * max(up, down)
    k = np.arange(-half, half + 1)
    taps = np.sinc(k / max(up, down)) * np.kaiser(2 * half + 1, 5.0)
    stuffed = np.zeros(len(x) * up)
    stuffed[::up] = x
    filtered = np.convolve(stuffed, taps * up / taps.sum())[half:]
    return filtered[: len(stuffed) : down]


def mel_triangles(n_mels: int, n_fft: int, filterbank_rate_hz: int, f_max_hz: float) -> Signal:
    """(mels, bins): triangles of height 1 whose corners are equally far apart on the HTK mel scale."""
    mels = np.linspace(0.0, 2595 * np.log10(1 + f_max_hz / 700), n_mels + 2)
    corner = 700 * (10 ** (mels / 2595) - 1)
    f = np.arange(n_fft // 2 + 1) * filterbank_rate_hz / n_fft
    rising = (f - corner[:-2, None]) / (corner[1:-1] - corner[:-2])[:, None]
    falling = (corner[2:, None] - f) / (corner[2:] - corner[1:-1])[:, None]
    return np.maximum(0.0, np.minimum(rising, falling))


def mel_db(window: Signal) -> Signal:
    """(256, frames): 10 log10 of the mel power, floored 100 dB below the loudest cell of all frames."""
    n_fft, hop = 2560, 256
    n = np.arange(n_fft)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / n_fft)
    dft = np.exp(-2j * np.pi * np.outer(np.arange(n_fft // 2 + 1), n) / n_fft)
    edged = np.concatenate([window[n_fft // 2 : 0 : -1], window, window[-2 : -n_fft // 2 - 2 : -1]])
    frames = np.stack([edged[start : start + n_fft] * hann for start in range(0, len(edged) - n_fft + 1, hop)])
    power = mel_triangles(256, n_fft, 16_000, 10_000.0) @ np.abs(dft @ frames.T) ** 2
    decibel = 10 * np.log10(np.maximum(power, 1e-10))
    floored: Signal = np.maximum(decibel, decibel.max() - 100)
    return floored


def thousandths(windows: list[Signal]) -> NDArray[np.int32]:
    """What is kept of the windows: every second frame, in thousandths of a dB."""
    return np.round(np.stack(windows)[..., ::KEEP_EVERY] * 1000).astype(np.int32)


def main() -> None:
    """Write the golden file."""
    x = resampled(synthetic_sound(), 5, 12)
    loud = x / np.abs(x).max()
    np.savez_compressed(
        GOLDEN,
        mel_mdb_2s_1s=thousandths([mel_db(x[s * RATE_HZ : (s + 2) * RATE_HZ]) for s in (0, 1)]),
        mel_mdb_3s_2s_peaknorm=thousandths([mel_db(loud[: 3 * RATE_HZ])]),
    )


if __name__ == "__main__":
    main()
