"""How well scores tell calls from other sounds, with confidence intervals; numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Metric = Callable[[Values, NDArray[np.bool_]], float]

RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Rounded to three decimals, as the model card prints them."""
        return {"value": round(self.value, 3), "low": round(self.low, 3), "high": round(self.high, 3)}


def auroc(scores: Values, is_call: NDArray[np.bool_]) -> float:
    """The chance that a call scores above another sound; ties count half (Mann and Whitney 1947)."""
    calls, others = scores[is_call], np.sort(scores[~is_call])
    below = np.searchsorted(others, calls, side="left") + np.searchsorted(others, calls, side="right")
    return float(below.mean() / (2 * others.size))


def average_precision(scores: Values, is_call: NDArray[np.bool_]) -> float:
    """The area under the precision-recall curve as a sum of steps; equal scores make one step."""
    order = np.argsort(-scores, kind="stable")
    hits, ranked = np.cumsum(is_call[order]), scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def recall_at(false_positive_rate: float) -> Metric:
    """The metric: the share of calls found at the threshold that at most this share of the other sounds passes."""

    def recall(scores: Values, is_call: NDArray[np.bool_]) -> float:
        others = np.sort(scores[~is_call])[::-1]
        threshold = others[min(int(false_positive_rate * others.size), others.size - 1)]
        return float(np.mean(scores[is_call] > threshold))

    return recall


def share_detected(threshold: float) -> Metric:
    """The metric: the share of all sounds given that score at least `threshold`."""
    return lambda scores, _: float(np.mean(scores >= threshold))


def interval(
    metric: Metric, scores: Values, is_call: NDArray[np.bool_], groups: Sequence[str], *, seed: int = 0
) -> Interval:
    """The metric with its percentile bootstrap interval over whole groups (Efron and Tibshirani 1993).

    Calls and other sounds keep their number of groups in each resample, for without either no metric exists. Where a
    class has fewer than three groups its clips are drawn one by one, which makes the interval too narrow: say so.
    """
    rng = np.random.default_rng(seed)
    names = np.asarray(groups)
    blocks = [_blocks(names, np.flatnonzero(is_call == side)) for side in (True, False)]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = [side[pick] for side in blocks if side for pick in rng.integers(len(side), size=len(side))]
        rows = np.concatenate(chosen)
        drawn.append(metric(scores[rows], is_call[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(metric(scores, is_call), float(low), float(high))


def _blocks(names: NDArray[np.str_], rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The rows of each group, or each row alone where there are fewer than three groups."""
    groups = [rows[names[rows] == name] for name in np.unique(names[rows])]
    return groups if len(groups) >= 3 else [rows[index : index + 1] for index in range(rows.size)]
