"""The figures of an evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.metrics import auroc, average_precision, interval, recall_at

SIDES = np.array([True, True, True, False, False, False, False])


def test_known_figures() -> None:
    """Seven scores worked out by hand."""
    scores = np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.1, 0.1])

    assert auroc(scores, SIDES) == pytest.approx(11 / 12)
    assert average_precision(scores, SIDES) == pytest.approx((1 + 1 + 3 / 4) / 3)
    assert recall_at(0.01)(scores, SIDES) == pytest.approx(2 / 3)
    assert recall_at(0.25)(scores, SIDES) == pytest.approx(1.0)


def test_scores_that_say_nothing() -> None:
    """Where all score alike, AUROC is a half and no call is found without letting everything pass."""
    scores = np.full(7, 0.4)

    assert auroc(scores, SIDES) == pytest.approx(0.5)
    assert average_precision(scores, SIDES) == pytest.approx(3 / 7)
    assert recall_at(0.05)(scores, SIDES) == 0


@given(st.lists(st.integers(-50, 50), min_size=7, max_size=7))
def test_only_the_order_counts(values: list[int]) -> None:
    """A rising function of the scores changes neither AUROC nor average precision."""
    scores = np.array(values, dtype=np.float64)

    assert auroc(2 * scores + 1, SIDES) == pytest.approx(auroc(scores, SIDES))
    assert average_precision(2 * scores + 1, SIDES) == pytest.approx(average_precision(scores, SIDES))


def test_intervals_resample_whole_groups() -> None:
    """Forty clips of four recordings are worth four, not forty: the interval is wider than of forty recordings."""
    rng = np.random.default_rng(0)
    sides = np.arange(80) % 2 == 0
    recordings = [f"r{index // 20}-{side}" for index, side in enumerate(sides)]
    effect = {name: rng.normal() for name in sorted(set(recordings))}
    scores = np.array([effect[name] + (0.5 if side else 0) for name, side in zip(recordings, sides, strict=True)])
    scores = scores + rng.normal(0, 0.1, 80)

    few = interval(auroc, scores, sides, recordings)
    many = interval(auroc, scores, sides, [f"r{index}" for index in range(80)])

    assert few.value == many.value
    assert few.high - few.low > 1.5 * (many.high - many.low)
    assert few.low <= few.value <= few.high
