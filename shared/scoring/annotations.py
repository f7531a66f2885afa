"""Positive windows as tables that annotation programs open: Raven's selection table and Audacity's label track."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.documents import WindowScore

RAVEN_HEADER = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Score",
)

# Windows that follow one another meet within the rounding of floats.
_MEET_S = 1e-6


@dataclass(frozen=True)
class Selection:
    """A stretch of positive sound; `score` is the highest of the windows it is made of."""

    start_s: float
    end_s: float
    score: float


def merged(positives: Iterable[WindowScore]) -> tuple[Selection, ...]:
    """Join positive windows that overlap or follow one another without a break, in order of time."""
    selections: list[Selection] = []
    for window in sorted(positives, key=lambda window: window.start_s):
        last = selections[-1] if selections else None
        if last is not None and window.start_s <= last.end_s + _MEET_S:
            selections[-1] = Selection(last.start_s, max(last.end_s, window.end_s), max(last.score, window.score))
        else:
            selections.append(Selection(window.start_s, window.end_s, window.score))
    return tuple(selections)


def raven_table(positives: Iterable[WindowScore], *, low_hz: float, high_hz: float) -> str:
    """A Raven selection table of the merged windows: tab-separated, Raven's own columns first.

    Times are from the recording's start. `low_hz` and `high_hz` are the band the model hears; it does not say where in
    the band a call lies.
    """
    rows = [
        (
            str(number),
            "Spectrogram 1",
            "1",
            f"{at.start_s:.6f}",
            f"{at.end_s:.6f}",
            f"{low_hz:.1f}",
            f"{high_hz:.1f}",
            f"{at.score:.4f}",
        )
        for number, at in enumerate(merged(positives), start=1)
    ]
    return "".join("\t".join(row) + "\n" for row in (RAVEN_HEADER, *rows))


def audacity_labels(positives: Iterable[WindowScore]) -> str:
    """An Audacity label track of the merged windows: start, end, label with score; tab-separated, no header."""
    return "".join(f"{at.start_s:.6f}\t{at.end_s:.6f}\torca {at.score:.2f}\n" for at in merged(positives))
