"""The sounds of a sea, synthesised: for the demo, for the tests, and to train a model that has too few real ones.

Every function is pure: the same arguments and the same state of `rng` give the same samples. Sounds are mono float32,
full scale 1.0. A source (`orca_call`, a confuser) comes with peak 1.0 and is set into its surroundings with `mix`.
"""

from __future__ import annotations

from shared.demo.sea.calls import CALL_KINDS, orca_call
from shared.demo.sea.confusers import CONFUSERS
from shared.demo.sea.noise import sea_noise
from shared.demo.sea.ship import ship
from shared.demo.sea.signals import Samples, at_distance, band_energy, level_dbfs, mix

__all__ = [
    "CALL_KINDS",
    "CONFUSERS",
    "Samples",
    "at_distance",
    "band_energy",
    "level_dbfs",
    "mix",
    "orca_call",
    "sea_noise",
    "ship",
]
