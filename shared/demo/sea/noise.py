"""The sea's own noise, and that of the hydrophone that listens to it."""

from __future__ import annotations

import numpy as np

from shared.demo.sea.signals import Curve, Samples, sample_count, shaped_noise, unrest


def sea_noise(
    duration_s: float,
    sample_rate_hz: int,
    rng: np.random.Generator,
    *,
    level_dbfs: float = -40.0,
    slope_db_per_octave: float = -5.5,
    hiss_db: float = -38.0,
    unrest_db: float = 1.5,
    waves: bool = True,
    clicks_per_s: float = 0.0,
) -> Samples:
    """Ambient noise after Wenz (1962): distant traffic below some 200 Hz, wind and waves falling off above 500 Hz.

    Wenz gives 5-6 dB per octave for wind noise above 500 Hz, and distant shipping a broad maximum at 20-200 Hz.

    Args:
        duration_s: length.
        sample_rate_hz: sample rate.
        rng: where the randomness comes from.
        level_dbfs: RMS of the whole, clicks left aside, in dB re full scale.
        slope_db_per_octave: how wind noise falls with frequency; real stations lie between -7 and nearly 0.
        hiss_db: density of the hydrophone's white self-noise, relative to wind noise at 500 Hz.
        unrest_db: spread of the slow drift of the level.
        waves: swell that breathes in the wind noise every five to ten seconds.
        clicks_per_s: mean rate of snaps and knocks (Poisson).

    Returns:
        Noise, (n,).
    """
    count = sample_count(duration_s, sample_rate_hz)

    def traffic(frequency_hz: Curve) -> Curve:
        high_pass_db = -12 * np.log2(1 + 15 / frequency_hz)
        return np.asarray(12 - 4.5 * np.log2(frequency_hz / 70) ** 2 + high_pass_db)

    def wind(frequency_hz: Curve) -> Curve:
        octaves = np.log2(frequency_hz / 500)
        falling_db = slope_db_per_octave * np.maximum(octaves, 0) + 2.0 * np.minimum(octaves, 0)
        return np.asarray(10 * np.log10(10 ** (falling_db / 10) + 10 ** (hiss_db / 10)))

    # `shaped_noise` returns RMS 1, so the share of each layer comes from the area under its own curve.
    grid_hz = np.linspace(1, sample_rate_hz / 2, 4096)
    weights = [np.float32(np.sqrt(np.mean(10 ** (layer(grid_hz) / 10)))) for layer in (traffic, wind)]
    layers = [
        weight
        * shaped_noise(count, sample_rate_hz, rng, layer)
        * unrest(count, sample_rate_hz, rng, period_s, unrest_db)
        for weight, layer, period_s in zip(weights, (traffic, wind), (12.0, 20.0), strict=True)
    ]
    if waves:
        layers[1] *= unrest(count, sample_rate_hz, rng, float(rng.uniform(5, 10)), 1.2)
    noise = layers[0] + layers[1]
    noise *= np.float32(10 ** (level_dbfs / 20) / np.sqrt(np.mean(np.square(noise), dtype=np.float64)))
    if clicks_per_s > 0:
        _add_clicks(noise, sample_rate_hz, rng, clicks_per_s, 10 ** (level_dbfs / 20))
    return noise


def _add_clicks(noise: Samples, sample_rate_hz: int, rng: np.random.Generator, rate: float, level: float) -> None:
    """Short broadband transients (snapping animals, pebbles, knocks on the mooring), two milliseconds each."""
    length = max(int(0.002 * sample_rate_hz), 8)
    decay = np.exp(-np.arange(length) / (length / 5)).astype(np.float32)
    for start in rng.integers(0, max(noise.size - length, 1), rng.poisson(rate * noise.size / sample_rate_hz)):
        snap = np.diff(rng.standard_normal(length + 1)).astype(np.float32) * decay
        stretch = noise[start : start + length]
        stretch += (level * rng.lognormal(0.3, 0.7) * snap)[: stretch.size]
