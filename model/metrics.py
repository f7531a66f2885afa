"""How well scores tell calls from other sounds, with confidence intervals; numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Rows = NDArray[np.intp]
Metric = Callable[[Values, NDArray[np.bool_]], float]

RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its 95 % confidence interval.

    `by_recording` says whether whole recordings were resampled; where it is false the interval is too narrow.
    """

    value: float
    low: float
    high: float
    by_recording: bool

    def to_json(self) -> dict[str, Any]:
        """Rounded to three decimals."""
        rounded = {"value": round(self.value, 3), "low": round(self.low, 3), "high": round(self.high, 3)}
        return rounded | {"by_recording": self.by_recording}


def shown(value: Mapping[str, Any]) -> str:
    """An interval's JSON as a table shows it; a dagger says that clips were resampled, not recordings."""
    mark = "" if value["by_recording"] else "†"
    return f"{value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f}){mark}"


def auroc(scores: Values, is_call: NDArray[np.bool_]) -> float:
    """The chance that a call scores above another sound; ties count half (Mann and Whitney 1947)."""
    calls, others = scores[is_call], np.sort(scores[~is_call])
    below = np.searchsorted(others, calls, side="left") + np.searchsorted(others, calls, side="right")
    return float(below.mean() / (2 * others.size))


def average_precision(scores: Values, is_call: NDArray[np.bool_]) -> float:
    """The area under the precision-recall curve as a sum of steps; equal scores make one step."""
    hits, passed = _ranked(scores, is_call)
    recall = hits / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * hits / passed))


def precision_recall(scores: Values, is_call: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Precision and recall, one point for each different score, from the highest down."""
    hits, passed = _ranked(scores, is_call)
    return hits / passed, hits / hits[-1]


def misses_and_alarms(scores: Values, is_call: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Shares of calls missed and of other sounds that pass, likewise: the axes of a DET plot (Martin et al. 1997)."""
    hits, passed = _ranked(scores, is_call)
    return 1 - hits / hits[-1], (passed - hits) / np.count_nonzero(~is_call)


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


def alarm_threshold(scores: Values, minutes: Values) -> float:
    """The score that at most one sound without a call in every ten minutes lies above; `minutes` are their lengths.

    Where the sounds add up to less than ten minutes, none may.
    """
    allowed = int(minutes.sum() / 10 + 1e-9)  # twenty minutes in sixths are twenty
    return float(np.sort(scores)[::-1][min(allowed, scores.size - 1)])


def interval(metric: Metric, scores: Values, is_call: NDArray[np.bool_], groups: Sequence[str]) -> Interval:
    """The metric with its percentile bootstrap interval over whole groups (Efron and Tibshirani 1993)."""
    return interval_of(lambda rows: metric(scores[rows], is_call[rows]), is_call, groups)


def interval_of(figure: Callable[[Rows], float], is_call: NDArray[np.bool_], groups: Sequence[str]) -> Interval:
    """Any figure of the rows given, with its bootstrap interval; a difference of two is paired, row by row.

    Calls and other sounds are resampled apart, for without either no metric exists. Where most of a class is one group
    its clips are drawn one by one, and the interval says so.
    """
    rng = np.random.default_rng(0)
    names = np.asarray(groups)
    classes = [np.flatnonzero(is_call == side) for side in (True, False) if (is_call == side).any()]
    whole = [_by_recording(names[rows]) for rows in classes]
    blocks = [_blocks(names, rows) if by else list(rows[:, None]) for rows, by in zip(classes, whole, strict=True)]
    drawn = []
    for _ in range(RESAMPLES):
        chosen = [side[pick] for side in blocks for pick in rng.integers(len(side), size=len(side))]
        drawn.append(figure(np.concatenate(chosen)))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(figure(np.arange(len(names))), float(low), float(high), all(whole))


def _ranked(scores: Values, is_call: NDArray[np.bool_]) -> tuple[Values, Values]:
    """At each different score, from the highest down: how many calls score that much, and how many of all."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    return np.cumsum(is_call[order])[last].astype(np.float64), (last + 1).astype(np.float64)


def _by_recording(names: NDArray[np.str_]) -> bool:
    """Whether no single group holds half or more of the clips."""
    _, sizes = np.unique(names, return_counts=True)
    return bool(2 * sizes.max() < names.size)


def _blocks(names: NDArray[np.str_], rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The rows of each group."""
    return [rows[names[rows] == name] for name in np.unique(names[rows])]
