"""Scores to a decision: is an orca heard in this clip? Two published policies, both pure.

Sources: `mean_top_k` is OrcaHello's production policy (orcasound/orcahello, `InferenceSystem/src/model/inference.py`,
since March 2026); `smoothed_count` its first one (orcasound/aifororcas-livesystem, `src/model/fastai_inference.py`,
predict()). Their comparisons are kept as published: a window or second is positive above (>) its local threshold,
while a clip is detected at or above (>=) the mean's threshold or the count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shared.scoring.model_file import MeanTopK, Policy


@dataclass(frozen=True)
class Decision:
    """What a policy makes of a clip's scores.

    `confidence` is 0-1. `values` are what was decided on: the scores themselves or their rolling mean, and
    `positive_windows` are the indices of those above the local threshold. `threshold` is the one a hydrophone may
    override: of the clip's mean for `mean_top_k`, of each second for `smoothed_count`.
    """

    detected: bool
    confidence: float
    positive_windows: tuple[int, ...]
    values: tuple[float, ...]
    threshold: float


def mean_top_k(scores: ArrayLike, k: int = 2, threshold: float = 0.6, *, local_threshold: float = 0.5) -> Decision:
    """Detected when the mean of the `k` highest scores is at least `threshold`; that mean is the confidence.

    With fewer than `k` windows all of them are averaged. No windows: not detected, confidence 0. Raises ValueError
    for a score that is no probability.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    values = _probabilities(scores)
    confidence = float(np.sort(values)[::-1][:k].mean()) if values.size else 0.0
    return Decision(
        detected=values.size > 0 and confidence >= threshold,
        confidence=confidence,
        positive_windows=_above(values, local_threshold),
        values=tuple(values.tolist()),
        threshold=threshold,
    )


def smoothed_count(scores: ArrayLike, local_threshold: float = 0.5, min_count: int = 3) -> Decision:
    """Detected when at least `min_count` values of the rolling mean lie above `local_threshold`.

    Each value is the mean of two neighbouring scores; the first and the last stand alone, so n scores give n + 1
    values, value i being about the second i. The confidence is the mean of the values above the threshold, 0 if there
    are none. Raises ValueError for a score that is no probability.
    """
    if min_count < 1:
        raise ValueError(f"min_count must be at least 1, not {min_count}")
    raw = _probabilities(scores)
    values = np.concatenate([raw[:1], (raw[:-1] + raw[1:]) / 2, raw[-1:]])
    positive = _above(values, local_threshold)
    return Decision(
        detected=len(positive) >= min_count,
        confidence=float(values[list(positive)].mean()) if positive else 0.0,
        positive_windows=positive,
        values=tuple(values.tolist()),
        threshold=local_threshold,
    )


def decide(policy: Policy, scores: ArrayLike, *, threshold: float | None = None) -> Decision:
    """Apply a model's policy, with one hydrophone's own `threshold` in place of the model's where it has one."""
    if isinstance(policy, MeanTopK):
        bar = policy.threshold if threshold is None else threshold
        return mean_top_k(scores, policy.k, bar, local_threshold=policy.local_threshold)
    bar = policy.local_threshold if threshold is None else threshold
    return smoothed_count(scores, bar, policy.min_count)


def decision_spans_s(
    policy: Policy, window_spans_s: Sequence[tuple[float, float]], *, hop_s: float
) -> list[tuple[float, float]]:
    """From when to when each of a decision's values speaks, in seconds of the clip.

    For `mean_top_k` value i is window i. For `smoothed_count` it is the stretch of one hop that window i - 1 ends
    with and window i begins with; the last value is the hop after the last window's start.
    """
    if isinstance(policy, MeanTopK):
        return list(window_spans_s)
    starts_s = [*(start_s for start_s, _ in window_spans_s), *(last_s + hop_s for last_s, _ in window_spans_s[-1:])]
    return [(start_s, start_s + hop_s) for start_s in starts_s]


def _above(values: NDArray[np.float64], threshold: float) -> tuple[int, ...]:
    return tuple(np.flatnonzero(values > threshold).tolist())


def _probabilities(scores: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"scores must be one list of probabilities, not of shape {values.shape}")
    wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if wrong.size:
        raise ValueError(f"score {wrong[0]} is {values[wrong[0]]}, which is no probability (0 to 1)")
    return values
