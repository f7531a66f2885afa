"""From log-odds of sources left out to probabilities that mean what they say."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Values = NDArray[np.float64]

OTHERS_WEIGH = 2.0
"""How much more other sounds count than calls when scores are calibrated.

A sea without whales is the rule, and whales that call once mostly call again: a false alarm costs more than a miss.
"""

THRESHOLD = 0.6
"""The calibrated score at which a clip is detected, a little above that of one false alarm in ten minutes."""

TOP = 2
"""A clip's score is the mean of so many of its windows, the highest."""


def top_mean(values: Values, sizes: NDArray[np.int64]) -> Values:
    """(units,): the mean of each unit's `TOP` highest values, or of all where it has fewer."""
    units = np.split(values, np.cumsum(sizes)[:-1])
    return np.array([float(np.sort(unit)[::-1][:TOP].mean()) for unit in units])


def calibration(logits: Values, is_call: NDArray[np.bool_], folds: NDArray[np.str_]) -> tuple[float, float]:
    """Scale and offset of the log-odds (Platt 1999), every fold weighing the same, and others more than calls."""
    weight = np.zeros(logits.size)
    for fold in np.unique(folds):
        for side in (True, False):
            chosen = (folds == fold) & (is_call == side)
            weight[chosen] = (1 if side else OTHERS_WEIGH) / max(chosen.sum(), 1)
    sign = np.where(is_call, 1.0, -1.0)

    def loss(line: Values) -> float:
        return float(np.sum(weight * np.logaddexp(0, -sign * (line[0] * logits + line[1]))))

    spread = max(float(np.std(logits)), 1e-9)  # baselines come in units of their own
    scale, offset = minimize(loss, np.array([1.0 / spread, -float(np.mean(logits)) / spread]), method="Nelder-Mead").x
    return float(scale), float(offset)


def probabilities(logits: Values, scale: float, offset: float) -> Values:
    """The calibrated probabilities of log-odds."""
    return np.asarray(expit(scale * logits + offset))


def reliability(scores: Values, is_call: NDArray[np.bool_], bins: int = 8) -> list[dict[str, float]]:
    """The calibration curve: per bin of scores their mean, the share of calls among them, and how many they are."""
    edges = np.linspace(0, 1, bins + 1)
    where = np.clip(np.digitize(scores, edges) - 1, 0, bins - 1)
    return [
        {
            "mean_score": round(float(scores[where == index].mean()), 3),
            "share_of_calls": round(float(is_call[where == index].mean()), 3),
            "clips": int((where == index).sum()),
        }
        for index in range(bins)
        if (where == index).any()
    ]
