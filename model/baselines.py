"""Two detectors that learn nothing, for networks to be compared with.

Both hear the very windows the networks hear and are turned into a clip's score, calibrated and judged in the same way.
Both look at `BAND_HZ`, where most of the power of orca calls lies, and both take the window's own background away, as
the networks do: a detector of plain level would only tell loud recordings from faint ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from model.examples import FRONT_END

Features = NDArray[np.float32]
Values = NDArray[np.float64]

BAND_HZ = (1000.0, 6000.0)
SMOOTHED_FRAMES = 5
"""A tenth of a second: shorter clicks are evened out."""

_CENTRES_HZ = librosa.mel_frequencies(
    FRONT_END.n_mels + 2, fmin=FRONT_END.f_min_hz, fmax=FRONT_END.f_max_hz, htk=FRONT_END.mel_scale == "htk"
)[1:-1]
IN_BAND = (BAND_HZ[0] <= _CENTRES_HZ) & (BAND_HZ[1] >= _CENTRES_HZ)


def energy_db(windows: Features) -> Values:
    """(n,): by how many dB the loudest tenth of a second stands above the window's median, in the band."""
    power = np.power(10.0, windows[:, IN_BAND].astype(np.float64) / 10).sum(axis=1)
    level_db = 10 * np.log10(uniform_filter1d(power, SMOOTHED_FRAMES, axis=1, mode="nearest"))
    return np.asarray(level_db.max(axis=1) - np.median(level_db, axis=1))


def order(windows: Features) -> Values:
    """(n,): how far the entropy of the spectrum lies below its maximum, from 0 (white) to 1 (one tone).

    The entropy of a frame's normalised power in the band (Erbe and King 2008), each row first brought to the same
    median over the window; the mean over the most ordered tenth of the frames.
    """
    decibel = windows[:, IN_BAND].astype(np.float64)
    power = np.power(10.0, (decibel - np.median(decibel, axis=2, keepdims=True)) / 10)
    power = uniform_filter1d(power, SMOOTHED_FRAMES, axis=2, mode="nearest")
    share = power / power.sum(axis=1, keepdims=True)
    entropy = -(share * np.log(np.maximum(share, 1e-12))).sum(axis=1) / np.log(IN_BAND.sum())
    lowest = np.sort(entropy, axis=1)[:, : max(entropy.shape[1] // 10, 1)]
    return np.asarray(1 - lowest.mean(axis=1))


BASELINES: Mapping[str, Callable[[Features], Values]] = MappingProxyType({"energy": energy_db, "entropy": order})
