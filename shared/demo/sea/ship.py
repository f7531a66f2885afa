"""A ship that passes."""

from __future__ import annotations

import numpy as np
from scipy import signal

from shared.demo.sea.signals import Curve, Samples, phase_of, sample_count, shaped_noise, wander

SOUND_SPEED_M_S = 1480.0
CHUNK = 2**18
COARSENESS = 8
"""What changes slowly is computed at every eighth sample only: minutes of ship are otherwise seconds of waiting."""


def ship(
    duration_s: float,
    sample_rate_hz: int,
    rng: np.random.Generator,
    *,
    level_dbfs: float = -20.0,
    closest_s: float | None = None,
    closest_m: float = 300.0,
    speed_m_s: float = 8.0,
    blade_rate_hz: float | None = None,
) -> Samples:
    """A ship on a straight course: cavitation, engine lines, and the interference of its sound with the surface's echo.

    Cavitation noise falls some 6 dB per octave above its maximum near 100 Hz and swells at the blade rate and its
    harmonics (Ross 1976; Arveson & Vendittis 2000). Engine and generator lines drift a little and reach 2 kHz. Direct
    path and surface reflection travel their own changing distance, which gives the spreading, the Doppler shift and the
    U-shaped fringes of Lloyd's mirror.

    Args:
        duration_s: length.
        sample_rate_hz: sample rate.
        rng: where the randomness comes from.
        level_dbfs: RMS of the second at the closest point, in dB re full scale.
        closest_s: when the ship is nearest; the middle by default, and may lie outside the sound.
        closest_m: horizontal distance then.
        speed_m_s: speed over ground.
        blade_rate_hz: propeller blades passing per second; drawn from 6 to 14 by default.

    Returns:
        The ship alone, (n,).
    """
    count = sample_count(duration_s, sample_rate_hz)
    closest_s = duration_s / 2 if closest_s is None else closest_s
    blade_rate_hz = float(rng.uniform(6, 14)) if blade_rate_hz is None else blade_rate_hz
    source = _cavitation(count, sample_rate_hz, rng, blade_rate_hz) + _engine(count, sample_rate_hz, rng)

    depth_m, receiver_m = float(rng.uniform(2.5, 5)), float(rng.uniform(8, 16))
    heard = np.zeros(count, dtype=np.float32)
    for start in range(0, count, CHUNK):
        place = np.arange(start, min(start + CHUNK, count))
        along_m = speed_m_s * (place / sample_rate_hz - closest_s)
        for vertical_m, strength in ((receiver_m - depth_m, 1.0), (receiver_m + depth_m, -0.8)):
            path_m = np.sqrt(closest_m**2 + along_m**2 + vertical_m**2)
            sent = place - (path_m - closest_m) * (sample_rate_hz / SOUND_SPEED_M_S)
            heard[place] += strength * closest_m / path_m * _between(source, sent)
    near = int(np.clip(closest_s - 0.5, 0, max(duration_s - 1, 0)) * sample_rate_hz)
    reference = np.sqrt(np.mean(np.square(heard[near : near + sample_rate_hz], dtype=np.float64)))
    spread = closest_m / np.sqrt(closest_m**2 + (speed_m_s * (near / sample_rate_hz + 0.5 - closest_s)) ** 2)
    return heard * np.float32(10 ** (level_dbfs / 20) * spread / reference)


def _between(source: Samples, position: Curve) -> Samples:
    """The source at fractional positions, by linear interpolation; beyond its ends, its end."""
    position = np.clip(position, 0, source.size - 1.001)
    below = position.astype(np.int64)
    share = (position - below).astype(np.float32)
    return source[below] * (1 - share) + source[below + 1] * share


def _cavitation(count: int, sample_rate_hz: int, rng: np.random.Generator, blade_rate_hz: float) -> Samples:
    def density_db(frequency_hz: Curve) -> Curve:
        return np.asarray(-10 * np.log10(1 + (frequency_hz / 150) ** 2) - 12 * np.log2(1 + 40 / frequency_hz))

    noise = shaped_noise(count, sample_rate_hz, rng, density_db)
    coarse = _coarse(count)
    drift = 1 + 0.004 * wander(coarse, sample_rate_hz // COARSENESS, rng, 15.0)
    blade = phase_of(blade_rate_hz * drift.astype(np.float64), sample_rate_hz // COARSENESS)
    swell = 1 + 0.2 * np.cos(blade / int(rng.integers(3, 6)))
    for k in (1, 2, 3):
        swell += 0.45 / k * np.cos(k * blade + rng.uniform(0, 2 * np.pi))
    return noise * _fine(np.maximum(swell, 0.05), count)


def _engine(count: int, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """Harmonics of the firing rate up to 600 Hz, and a few lines of generator and gear up to 2 kHz."""
    firing_hz = float(rng.uniform(18, 32))
    lines = [(firing_hz * k, 0.18 / k**0.5) for k in range(1, int(600 / firing_hz)) if rng.random() < 0.6]
    lines += [(float(line_hz), float(rng.uniform(0.01, 0.03))) for line_hz in rng.uniform(400, 2000, 5)]
    coarse = _coarse(count)
    drift = 1 + 0.003 * wander(coarse, sample_rate_hz // COARSENESS, rng, 20.0)
    turn = phase_of(drift.astype(np.float64), sample_rate_hz // COARSENESS)
    out = np.zeros(coarse, dtype=np.float32)
    for line_hz, strength in lines:
        if line_hz < 0.45 * sample_rate_hz / COARSENESS:
            out += strength * np.sin(line_hz * turn + rng.uniform(0, 2 * np.pi)).astype(np.float32)
    return signal.resample_poly(out, COARSENESS, 1)[:count].astype(np.float32)


def _coarse(count: int) -> int:
    return -(-count // COARSENESS) + 1


def _fine(coarse: Curve, count: int) -> Samples:
    out = np.empty(count, dtype=np.float32)
    for start in range(0, count, CHUNK):
        place = np.arange(start, min(start + CHUNK, count))
        out[place] = np.interp(place / COARSENESS, np.arange(coarse.size), coarse)
    return out
