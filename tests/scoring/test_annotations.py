"""Tables for Raven and Audacity."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared.documents import WindowScore
from shared.scoring.annotations import Selection, audacity_labels, merged, raven_table

POSITIVES = (
    WindowScore(start_s=2.0, end_s=5.0, score=0.7),
    WindowScore(start_s=4.0, end_s=7.0, score=0.9),
    WindowScore(start_s=7.0, end_s=10.0, score=0.6),
    WindowScore(start_s=14.0, end_s=17.0, score=0.8),
)

windows = st.builds(
    lambda start, length, score: WindowScore(start_s=start / 4, end_s=(start + length) / 4, score=score),
    st.integers(0, 400),
    st.integers(1, 12),
    st.floats(0, 1),
)


def test_windows_that_overlap_or_meet_are_one_selection() -> None:
    """Three windows in a row are one selection with the highest of their scores; the fourth stands apart."""
    assert merged(POSITIVES) == (Selection(2.0, 10.0, 0.9), Selection(14.0, 17.0, 0.8))


@given(positives=st.lists(windows, max_size=30))
def test_merging_keeps_all_positive_time_and_no_other(positives: list[WindowScore]) -> None:
    """Selections are in order, apart from each other, and cover exactly the quarter seconds the windows cover."""
    selections = merged(positives)

    assert all(before.end_s < after.start_s for before, after in pairwise(selections))
    assert covered((at.start_s, at.end_s) for at in selections) == covered((at.start_s, at.end_s) for at in positives)
    assert max((at.score for at in selections), default=None) == max((at.score for at in positives), default=None)


def covered(spans: object) -> set[int]:
    """The quarter seconds within the spans."""
    return {quarter for start_s, end_s in spans for quarter in range(int(start_s * 4), int(end_s * 4))}  # type: ignore[attr-defined]  # any iterable of pairs


def test_raven_table() -> None:
    """Raven's columns in Raven's order, numbered from 1, tab-separated, score last."""
    assert raven_table(POSITIVES, low_hz=0.0, high_hz=10_000.0) == (
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tScore\n"
        "1\tSpectrogram 1\t1\t2.000000\t10.000000\t0.0\t10000.0\t0.9000\n"
        "2\tSpectrogram 1\t1\t14.000000\t17.000000\t0.0\t10000.0\t0.8000\n"
    )


def test_audacity_labels() -> None:
    """Start, end and label in seconds; Audacity's label track has no header."""
    assert audacity_labels(POSITIVES) == "2.000000\t10.000000\torca 0.90\n14.000000\t17.000000\torca 0.80\n"


def test_no_positives_make_empty_tables() -> None:
    """Raven keeps its header, Audacity's file is empty."""
    assert raven_table([], low_hz=0.0, high_hz=1.0).count("\n") == 1
    assert audacity_labels([]) == ""
