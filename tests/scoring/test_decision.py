"""Both decision policies: against OrcaHello's published outputs, and in what must hold for any scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.scoring.decision import Decision, decide, decision_spans_s, mean_top_k, smoothed_count
from shared.scoring.model_file import MeanTopK, SmoothedCount

score_lists = st.lists(st.floats(0, 1), max_size=70)


@pytest.fixture(scope="module")
def vectors(shared_dir: Path) -> dict[str, Any]:
    """Scores of a real clip with a calf's call, and what OrcaHello made of them."""
    vectors: dict[str, Any] = json.loads((shared_dir / "reference/orcahello/decision_vectors.json").read_text())
    return vectors


def test_smoothed_count_agrees_with_orcahello(vectors: dict[str, Any]) -> None:
    """Every smoothed value, the positive seconds, the decision and its confidence are OrcaHello's."""
    decision = smoothed_count(vectors["raw_2s_1s_hop"])

    assert decision.values == pytest.approx(vectors["legacy_smoothed"], abs=1e-6)
    assert list(decision.positive_windows) == vectors["legacy_threshold_0.5_positive_idx"]
    assert decision.confidence == pytest.approx(vectors["legacy_global_confidence_pct"] / 100, abs=1e-6)
    assert decision.detected is bool(vectors["legacy_global_prediction_min3"])


@pytest.mark.parametrize(("k", "key"), [(2, "raw_mean_top2"), (3, "raw_mean_top3")])
def test_mean_top_k_agrees_with_orcahello(vectors: dict[str, Any], k: int, key: str) -> None:
    """The mean of the best windows is OrcaHello's."""
    decision = mean_top_k(vectors["raw_2s_1s_hop"], k)

    assert decision.detected
    assert decision.confidence == pytest.approx(vectors[key], abs=1e-6)


def test_positive_windows_agree_with_orcahello(shared_dir: Path) -> None:
    """The windows above 0.5 are those OrcaHello's rewrite reports for the same clip."""
    published = json.loads((shared_dir / "reference/orcahello/sunset_bay_file_predictions.json").read_text())

    decision = mean_top_k(published["local_confidences"])

    assert decision.values == pytest.approx(published["local_confidences"], abs=1e-6)
    assert [int(i in decision.positive_windows) for i in range(58)] == published["local_predictions"]
    assert decision.detected is bool(published["global_prediction"])


def test_mean_top_k_is_detected_at_its_threshold() -> None:
    """The mean has to reach the threshold, not to pass it; a window has to pass the local one."""
    decision = mean_top_k([0.5, 0.7, 0.1], threshold=0.6)

    assert decision == Decision(
        detected=True, confidence=0.6, positive_windows=(1,), values=(0.5, 0.7, 0.1), threshold=0.6
    )


def test_smoothed_count_averages_neighbours() -> None:
    """The first and last values stand alone, each other is the mean of two; exactly 0.5 does not count."""
    decision = smoothed_count([0.5, 0.7, 0.9])

    assert decision.values == pytest.approx((0.5, 0.6, 0.8, 0.9))
    assert decision.positive_windows == (1, 2, 3)
    assert decision.detected
    assert decision.confidence == pytest.approx((0.6 + 0.8 + 0.9) / 3)


def test_smoothed_count_needs_enough_seconds() -> None:
    """One loud window makes two seconds, which is short of three; the confidence still says how loud they were."""
    decision = smoothed_count([0.0, 0.0, 1.0, 0.2, 0.0])

    assert decision.positive_windows == (3,)
    assert not decision.detected
    assert decision.confidence == pytest.approx(0.6)


@pytest.mark.parametrize("policy", [mean_top_k, smoothed_count])
def test_no_scores_is_no_detection(policy: Any) -> None:
    """A clip without a single whole window is not detected, and that is no error."""
    decision = policy([])

    assert (decision.detected, decision.confidence, decision.positive_windows, decision.values) == (False, 0.0, (), ())


@pytest.mark.parametrize("policy", [mean_top_k, smoothed_count])
@pytest.mark.parametrize("wrong", [float("nan"), -0.1, 1.1, float("inf")])
def test_what_is_no_probability_is_refused(policy: Any, wrong: float) -> None:
    """A NaN must never pass for silence: the error says which score it is."""
    with pytest.raises(ValueError, match=r"score 1 is \S+, which is no probability"):
        policy([0.5, wrong])


@given(scores=score_lists, k=st.integers(1, 80), threshold=st.floats(0, 1))
def test_mean_top_k_holds_for_any_scores(scores: list[float], k: int, threshold: float) -> None:
    """Confidence lies between mean and maximum, does not hang on the order, and decides alone."""
    decision = mean_top_k(scores, k, threshold)

    assert decision.confidence == pytest.approx(mean_top_k(scores[::-1], k).confidence)
    assert decision.detected is (bool(scores) and decision.confidence >= threshold)
    assert decision.positive_windows == tuple(i for i, score in enumerate(scores) if score > 0.5)
    if scores:
        assert sum(scores) / len(scores) - 1e-9 <= decision.confidence <= max(scores) + 1e-9


@given(scores=score_lists, local_threshold=st.floats(0, 1), min_count=st.integers(1, 5))
def test_smoothed_count_holds_for_any_scores(scores: list[float], local_threshold: float, min_count: int) -> None:
    """One value more than scores, all within their range; the count decides; positives are above the threshold."""
    decision = smoothed_count(scores, local_threshold, min_count)

    assert len(decision.values) == (len(scores) + 1 if scores else 0)
    assert all(min(scores) <= value <= max(scores) for value in decision.values)
    assert decision.detected is (len(decision.positive_windows) >= min_count)
    assert {i for i, value in enumerate(decision.values) if value > local_threshold} == set(decision.positive_windows)
    assert 0 <= decision.confidence <= 1


@given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=30), louder=st.integers(0, 29))
def test_a_higher_score_never_unmakes_a_detection(scores: list[float], louder: int) -> None:
    """Raising one window's score keeps either policy's detection."""
    raised = [1.0 if i == louder else score for i, score in enumerate(scores)]

    for policy in (MeanTopK(), SmoothedCount()):
        assert decide(policy, raised).detected >= decide(policy, scores).detected


def test_a_hydrophone_may_have_its_own_threshold() -> None:
    """The override moves the clip's bar in `mean_top_k` and each second's in `smoothed_count`."""
    scores = [0.8, 0.8, 0.8]

    assert decide(MeanTopK(), scores).detected
    assert not decide(MeanTopK(), scores, threshold=0.9).detected
    assert decide(MeanTopK(), scores, threshold=0.9).threshold == 0.9
    assert decide(MeanTopK(), scores, threshold=0.9).positive_windows == (0, 1, 2)
    assert decide(SmoothedCount(), scores).detected
    assert not decide(SmoothedCount(), scores, threshold=0.9).detected
    assert decide(SmoothedCount(), scores, threshold=0.0) == smoothed_count(scores, 0.0)


def test_decision_values_have_their_times() -> None:
    """A raw value covers its window, a smoothed one a single hop."""
    spans_s = [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)]

    raw = decision_spans_s(MeanTopK(), spans_s, hop_s=1.0)
    smoothed = decision_spans_s(SmoothedCount(), spans_s, hop_s=1.0)

    assert raw == spans_s
    assert smoothed == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    assert decision_spans_s(SmoothedCount(), [], hop_s=1.0) == []
