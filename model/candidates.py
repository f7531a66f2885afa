"""What a candidate, network or baseline, made of the sources left out, and the figures that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.calibration import THRESHOLD, calibration, probabilities, reliability
from model.dataset import SAMPLE_RATE_HZ, Clip
from model.metrics import Interval, Rows, alarm_threshold, auroc, average_precision, interval_of
from model.scoring import NOISE_LABELS, Unit

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

KINDS_OF_NOISE = (
    ("humpback", "humpback"),
    ("false killer", "pilot whales and their like"),
    ("pilot whale", "pilot whales and their like"),
    ("melon-headed", "pilot whales and their like"),
    ("sperm", "sperm whale"),
    ("beluga", "beluga"),
    ("seal", "seal"),
    ("dolphin", "dolphins"),
)
"""Part of the `species` column, in small letters -> the kind of sound it is counted as."""


def kind_of_noise(clip: Clip) -> str:
    """What a clip without a call is counted as: its label, for an animal its kind."""
    if clip.label != "other_bio":
        return clip.label
    species = clip.species.lower()
    return next((kind for part, kind in KINDS_OF_NOISE if part in species), "other animal")


@dataclass(frozen=True)
class Units:
    """What every candidate is judged by, fold after fold: the units, and the name of the fold of each."""

    units: tuple[Unit, ...]
    folds: NDArray[np.str_]

    @cached_property
    def is_call(self) -> Flags:
        """(units,): which hold a call."""
        return np.array([unit.clip.is_call for unit in self.units])

    @cached_property
    def is_noise(self) -> Flags:
        """(units,): which are of ships or sea alone; where there are none such, all without a call."""
        noise = np.array([unit.clip.label in NOISE_LABELS for unit in self.units])
        return noise if noise.any() else ~self.is_call

    @cached_property
    def is_ship(self) -> Flags:
        """(units,): which are of ships; where there are none, what `is_noise` says."""
        ships = np.array([unit.clip.label == "vessel" for unit in self.units])
        return ships if ships.any() else self.is_noise

    @cached_property
    def snr_db(self) -> Values:
        """(units,): the ratio a call was set into noise at; nan for sounds as they were recorded."""
        return np.array([np.nan if unit.snr_db is None else unit.snr_db for unit in self.units])

    @cached_property
    def minutes(self) -> Values:
        """(units,): their lengths."""
        return np.array([unit.samples.size / SAMPLE_RATE_HZ / 60 for unit in self.units])

    @property
    def groups(self) -> list[str]:
        """Their recordings."""
        return [unit.group for unit in self.units]

    def only(self, chosen: Flags) -> Units:
        """Those chosen."""
        return Units(tuple(unit for unit, keep in zip(self.units, chosen, strict=True) if keep), self.folds[chosen])


def recall_at_alarms(scores: Values, units: Units, noise: Flags, rows: Rows) -> float:
    """The share of calls above the score that one sound of `noise` in ten minutes passes, among `rows`."""
    quiet, calls = rows[noise[rows]], rows[units.is_call[rows]]
    return float(np.mean(scores[calls] > alarm_threshold(scores[quiet], units.minutes[quiet])))


@dataclass(frozen=True)
class Candidate:
    """The scores of one candidate: `raw` (units,) in its own measure, in the order of `Units`."""

    name: str
    raw: Values
    everything: Units

    @cached_property
    def recorded(self) -> Flags:
        """(units,): which are sounds as they were recorded."""
        return np.isnan(self.everything.snr_db)

    @cached_property
    def plain(self) -> Units:
        """The units as they were recorded."""
        return self.everything.only(self.recorded)

    @cached_property
    def ranking(self) -> Values:
        """Their scores in the candidate's own measure: calibration keeps their order, but for ties near 0 and 1."""
        return self.raw[self.recorded]

    @cached_property
    def fitted(self) -> tuple[float, float]:
        """Scale and offset of its calibration."""
        return calibration(self.ranking, self.plain.is_call, self.plain.folds)

    @cached_property
    def scores(self) -> Values:
        """Calibrated probabilities of the units as they were recorded."""
        return probabilities(self.ranking, *self.fitted)

    @cached_property
    def threshold(self) -> float:
        """The raw score above which one unit of ships or sea in ten minutes lies, over all folds."""
        noise = self.plain.is_noise
        return alarm_threshold(self.ranking[noise], self.plain.minutes[noise])

    @cached_property
    def calibrated_threshold(self) -> float:
        """The same, as a probability."""
        return float(probabilities(np.array([self.threshold]), *self.fitted)[0])

    @property
    def calls_and_noise(self) -> Flags:
        """The recorded units but for animals: noise is few recordings, and resampled among them some would be lost."""
        return self.plain.is_call | self.plain.is_noise

    def auprc(self, rows: Rows) -> float:
        """Average precision over all folds."""
        return average_precision(self.ranking[rows], self.plain.is_call[rows])

    def recall(self, rows: Rows) -> float:
        """Recall at one false alarm in ten minutes of ships or sea."""
        return recall_at_alarms(self.ranking, self.plain, self.plain.is_noise, rows)

    def recall_ships(self, rows: Rows) -> float:
        """The same of ships alone, which are certain to be without whales."""
        return recall_at_alarms(self.ranking, self.plain, self.plain.is_ship, rows)

    def recall_any(self, rows: Rows) -> float:
        """Recall at one false alarm in ten minutes of all other sounds, whales and dolphins among them."""
        return recall_at_alarms(self.ranking, self.plain, ~self.plain.is_call, rows)

    def figures(self) -> dict[str, Any]:
        """Everything the comparison says of it."""
        plain = self.plain
        calls_and_ships = plain.is_call | plain.is_ship
        return {
            "auprc": self.interval(self.auprc).to_json(),
            "auroc": self.interval(lambda rows: auroc(self.ranking[rows], plain.is_call[rows])).to_json(),
            "recall_at_1_alarm_per_10_min_of_noise": self.interval(self.recall, self.calls_and_noise).to_json(),
            "recall_at_1_alarm_per_10_min_of_ships": self.interval(self.recall_ships, calls_and_ships).to_json(),
            "recall_at_1_alarm_per_10_min_of_other_sounds": self.interval(self.recall_any).to_json(),
            "threshold_at_1_alarm_per_10_min_of_noise": round(self.calibrated_threshold, 4),
            "detected": {
                "threshold": THRESHOLD,
                "calls": _share(self.scores[plain.is_call] >= THRESHOLD, plain.only(plain.is_call)),
                "noise": _share(self.scores[plain.is_noise] >= THRESHOLD, plain.only(plain.is_noise)),
                "other sounds": _share(self.scores[~plain.is_call] >= THRESHOLD, plain.only(~plain.is_call)),
            },
            "brier": round(float(np.mean((self.scores - plain.is_call) ** 2)), 4),
            "calibration": {"scale": round(self.fitted[0], 4), "offset": round(self.fitted[1], 4)},
            "reliability": reliability(self.scores, plain.is_call),
            "by_source": {str(name): self._of_fold(str(name)) for name in dict.fromkeys(plain.folds)},
            "by_snr_db": self._by_snr(),
            "false_alarms": self._by_noise(),
        }

    def _of_fold(self, name: str) -> dict[str, Any]:
        chosen = self.plain.folds == name
        part, scores = self.plain.only(chosen), self.ranking[chosen]
        found = interval_of(
            lambda rows: average_precision(scores[rows], part.is_call[rows]), part.is_call, part.groups
        ).to_json()
        return {
            "calls": int(part.is_call.sum()),
            "others": int((~part.is_call).sum()),
            "auprc": found,
            "recall": _share(scores[part.is_call] > self.threshold, part.only(part.is_call)),
        }

    def _by_snr(self) -> dict[str, Any]:
        ratios = self.everything.snr_db
        out = {}
        for ratio in np.unique(ratios[~np.isnan(ratios)]):
            chosen = ratios == ratio
            out[f"{ratio:g}"] = _share(self.raw[chosen] > self.threshold, self.everything.only(chosen))
        return out

    def _by_noise(self) -> dict[str, Any]:
        kinds = np.array(["" if unit.clip.is_call else kind_of_noise(unit.clip) for unit in self.plain.units])
        out = {}
        for kind in sorted(set(kinds) - {""}):
            chosen = kinds == kind
            part = self.plain.only(chosen)
            share = _share(self.ranking[chosen] > self.threshold, part)
            out[kind] = share | {"minutes": round(float(part.minutes.sum()), 1)}
        return out

    def interval(self, figure: Callable[[Rows], float], among: Flags | None = None) -> Interval:
        """A figure of the recorded units, or of those `among`, with its interval over recordings."""
        rows = np.arange(len(self.plain.units)) if among is None else np.flatnonzero(among)
        groups = np.array(self.plain.groups)[rows].tolist()
        return interval_of(lambda drawn: figure(rows[drawn]), self.plain.is_call[rows], groups)


def difference(one: Candidate, other: Candidate) -> dict[str, Any]:
    """By how much `one` is better than `other`, paired recording by recording."""
    return {
        "auprc": one.interval(lambda rows: one.auprc(rows) - other.auprc(rows)).to_json(),
        "recall_at_1_alarm_per_10_min_of_noise": one.interval(
            lambda rows: one.recall(rows) - other.recall(rows), one.calls_and_noise
        ).to_json(),
        "recall_at_1_alarm_per_10_min_of_ships": one.interval(
            lambda rows: one.recall_ships(rows) - other.recall_ships(rows), one.plain.is_call | one.plain.is_ship
        ).to_json(),
        "recall_at_1_alarm_per_10_min_of_other_sounds": one.interval(
            lambda rows: one.recall_any(rows) - other.recall_any(rows)
        ).to_json(),
    }


def _share(passed: Flags, units: Units) -> dict[str, Any]:
    """The share that passed, with its interval over recordings."""
    sides: Sequence[bool] = [True] * len(passed)
    found = interval_of(lambda rows: float(np.mean(passed[rows])), np.array(sides), units.groups)
    return {"clips": len(passed)} | found.to_json()
