"""Minutes of synthetic sea of which the truth is known: with calls at a set ratio, or with none."""

from __future__ import annotations

import numpy as np

from model.dataset import SAMPLE_RATE_HZ, Samples
from shared.demo.sea import CONFUSERS, mix, orca_call, sea_noise, ship

MINUTE_S = 60
CALLS = 3
QUIET_KINDS = ("noise", "ship", *sorted(CONFUSERS))
"""The kinds of minute without a call."""


def call_minute(rng: np.random.Generator, snr_db: float) -> Samples:
    """A minute of sea with `CALLS` calls at the same ratio, each somewhere in its own part of the minute."""
    minute = _sea(rng)
    part_s = MINUTE_S / CALLS
    for index in range(CALLS):
        at_s = index * part_s + float(rng.uniform(0.5, part_s - 4))
        call = orca_call(SAMPLE_RATE_HZ, rng)
        minute = mix(call, minute, snr_db, sample_rate_hz=SAMPLE_RATE_HZ, at_s=at_s)
    return minute


def quiet_minute(rng: np.random.Generator, kind: str) -> Samples:
    """A minute without a call: of sea alone, with a passing ship, or with a confuser of that name at 5 to 20 dB."""
    minute = _sea(rng)
    if kind == "ship":
        return minute + ship(MINUTE_S, SAMPLE_RATE_HZ, rng, level_dbfs=float(rng.uniform(-30, -15)))
    if kind == "noise":
        return minute
    snr_db = float(rng.uniform(5, 20))
    return mix(CONFUSERS[kind](MINUTE_S, SAMPLE_RATE_HZ, rng), minute, snr_db, sample_rate_hz=SAMPLE_RATE_HZ)


def _sea(rng: np.random.Generator) -> Samples:
    return sea_noise(
        MINUTE_S,
        SAMPLE_RATE_HZ,
        rng,
        slope_db_per_octave=float(rng.uniform(-7, -3)),
        hiss_db=float(rng.uniform(-45, -25)),
        clicks_per_s=float(rng.choice([0.0, 0.2, 3.0])),
    )
