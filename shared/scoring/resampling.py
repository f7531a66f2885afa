"""The one resampler: what `scipy.signal.resample_poly` gives, worked out as matrix products.

Between two rates the filter meets the sound in few ways, its phases, which come again with every period of both. So the
sound is laid out period by period and multiplied with the filter's taps, phase by phase: the same sums as
scipy's, in float64 too, three times as quick, and without `import scipy.signal`, which takes most of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from shared.scoring.audio import Samples

_REACH = 10
_KAISER_BETA = 5.0
"""resample_poly's own filter: 10 samples of the lower rate to each side, under a Kaiser window of this beta."""

_PHASES_AT_ONCE = 20

# Multiplications in one product. OpenBLAS gives larger ones to several threads, which wait for one another: ten times
# as long where the cores have other work. Source: its interface/gemm.c, SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD.
_LARGEST_PRODUCT = 2**18

_Values = NDArray[np.float64]


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Change the sample rate, along the last axis, as OrcaHello's model was trained to hear it.

    Source: `scipy.signal.resample_poly` with the rates over their greatest common divisor and its own filter. Another
    resampler moves the mel rows near 10 kHz by tens of dB. A sound of n samples becomes one of ceil(n * to_hz /
    from_hz).
    """
    if from_hz == to_hz or samples.shape[-1] == 0:
        return samples
    divisor = gcd(from_hz, to_hz)
    up, down = to_hz // divisor, from_hz // divisor
    channels = samples.reshape(-1, samples.shape[-1])
    resampled = np.stack([_resample_one(channel, up, down) for channel in channels])
    return resampled.reshape(*samples.shape[:-1], -1)


def _resample_one(samples: Samples, up: int, down: int) -> Samples:
    """One channel (n,)."""
    made, used = (max(1, _PHASES_AT_ONCE // up) * rate for rate in (up, down))
    count = -(-samples.size * up // down)
    rows = -(-count // made)
    reach = _REACH * max(up, down) // up
    padded = np.zeros(rows * used + 2 * reach)
    padded[reach : reach + samples.size] = samples
    resampled = np.empty((rows, made), np.float32)
    for phases, first, taps in _phases(up, down, min(made, count)):
        step, at_once = padded.itemsize, max(1, _LARGEST_PRODUCT // taps.size)
        sound = as_strided(padded[first + reach :], (rows, len(taps)), (used * step, step), writeable=False)
        for row in range(0, rows, at_once):
            resampled[row : row + at_once, phases] = sound[row : row + at_once] @ taps
    return resampled.reshape(-1)[:count]


def _phases(up: int, down: int, made: int) -> Iterator[tuple[slice, int, _Values]]:
    """The samples made of one row: which, from which sample of the sound on, and by which taps (samples, made).

    One after the other, for of rates with nothing in common they are hundreds of MB. Sample m is the sum over k of
    sound[k] * filter[middle + m * down - k * up].
    """
    filters, middle = _low_pass(up, down)
    for start in range(0, made, _PHASES_AT_ONCE):
        stop = min(start + _PHASES_AT_ONCE, made)
        first, last = -((middle - start * down) // up), ((stop - 1) * down + middle) // up
        tap = middle + np.arange(start, stop) * down - np.arange(first, last + 1)[:, None] * up
        inside = (tap >= 0) & (tap <= 2 * middle)
        yield slice(start, stop), first, np.where(inside, filters[tap.clip(0, 2 * middle)], 0.0)


def _low_pass(up: int, down: int) -> tuple[_Values, int]:
    """The filter (taps,) at `up` times the sound's rate, of gain `up` at 0 Hz, and the index of its middle."""
    slower = max(up, down)
    middle = _REACH * slower
    taps = np.sinc(np.arange(-middle, middle + 1) / slower) * np.kaiser(2 * middle + 1, _KAISER_BETA)
    return up * taps / taps.sum(), middle
