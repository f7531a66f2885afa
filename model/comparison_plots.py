"""The pictures of a comparison: curves of every candidate, and the scores of the one that was chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import ndtri

from model.candidates import Candidate
from model.metrics import misses_and_alarms, precision_recall

COLOURS: Mapping[str, str] = {
    "cnn": "#1f4e79",
    "separable": "#c1440e",
    "pcen": "#2a7f4f",
    "energy": "#8a8a8a",
    "entropy": "#b59f3b",
}
DET_TICKS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)
CALL, OTHER = "#c1440e", "#1f4e79"


def draw_comparison(candidates: Sequence[Candidate], figures: Mapping[str, Any], path: Path) -> None:
    """Precision-recall, DET, recall by ratio and recall by source left out, into a PNG at `path`."""
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(12.8, 8.6), layout="constrained")
        (left, right), (bottom_left, bottom_right) = figure.subplots(2, 2)
        _curves(left, right, candidates)
        _by_snr(bottom_left, figures)
        _by_source(bottom_right, figures)
    _save(figure, path)


def draw_scores(chosen: Candidate, figures: Mapping[str, Any], path: Path) -> None:
    """Histogram of the chosen one's scores, calibration curves, and its false alarms by kind, into a PNG at `path`."""
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(12.8, 4.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _histogram(left, chosen)
        _reliability(middle, figures)
        _false_alarms(right, chosen.name, figures[chosen.name]["false_alarms"])
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _curves(left: Axes, right: Axes, candidates: Sequence[Candidate]) -> None:
    for candidate in candidates:
        colour, sides = COLOURS.get(candidate.name), candidate.plain.is_call
        precision, recall = precision_recall(candidate.ranking, sides)
        left.step(recall, precision, where="post", color=colour, label=candidate.name)
        misses, alarms = misses_and_alarms(candidate.ranking, sides)
        inside = (misses > 0) & (misses < 1) & (alarms > 0) & (alarms < 1)
        right.plot(ndtri(alarms[inside]), ndtri(misses[inside]), color=colour, label=candidate.name)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Sources left out: PR")
    left.legend(loc="lower left")
    ticks, names = ndtri(np.array(DET_TICKS)), [f"{100 * tick:g}" for tick in DET_TICKS]
    right.set(xticks=ticks, xticklabels=names, yticks=ticks, yticklabels=names)
    right.set(xlabel="other sounds that pass, %", ylabel="calls missed, %", title="Sources left out: DET")
    right.set(xlim=(ticks[0], ticks[-1]), ylim=(ticks[0], ticks[-1]))
    for axes in (left, right):
        axes.grid(alpha=0.3)


def _by_snr(axes: Axes, figures: Mapping[str, Any]) -> None:
    for number, (name, found) in enumerate(figures.items()):
        ratios = sorted(float(ratio) for ratio in found["by_snr_db"])
        _points(axes, [ratio + 0.25 * (number - 2) for ratio in ratios], found["by_snr_db"].values(), name, line="-")
    axes.set(xlabel="call to noise, dB (500 Hz-10 kHz), at most", ylabel="calls detected, %", ylim=(0, 103))
    axes.set_title("Calls set into ships and sea, at one false alarm in 10 min")
    axes.grid(alpha=0.3)


def _by_source(axes: Axes, figures: Mapping[str, Any]) -> None:
    names: list[str] = []
    for number, (name, found) in enumerate(figures.items()):
        names = list(found["by_source"])
        places = [index + 0.14 * (number - 2) for index in range(len(names))]
        _points(axes, places, [part["recall"] for part in found["by_source"].values()], name, line="")
    axes.set(xticks=range(len(names)), ylabel="calls detected, %", ylim=(0, 103))
    axes.set_xticklabels(names, rotation=12)
    axes.set_title("By source left out, at one false alarm in 10 min")
    axes.grid(axis="y", alpha=0.3)


def _points(axes: Axes, places: Sequence[float], shares: Any, name: str, *, line: str) -> None:
    shares = list(shares)
    middle = [100 * share["value"] for share in shares]
    below = [100 * max(share["value"] - share["low"], 0) for share in shares]
    above = [100 * max(share["high"] - share["value"], 0) for share in shares]
    axes.errorbar(
        places, middle, yerr=[below, above], fmt=f"o{line}", color=COLOURS.get(name), capsize=2, ms=4, label=name
    )


def _histogram(axes: Axes, chosen: Candidate) -> None:
    edges = np.linspace(0, 1, 26).tolist()
    sides = chosen.plain.is_call
    for part, label, colour in ((~sides, "other sounds", OTHER), (sides, "calls", CALL)):
        weights = np.full(int(part.sum()), 100 / max(int(part.sum()), 1))
        axes.hist(
            chosen.scores[part], edges, weights=weights, color=colour, alpha=0.65, label=f"{label} ({part.sum()})"
        )
    axes.axvline(chosen.calibrated_threshold, color="black", lw=1, ls="--", label="one false alarm in 10 min")
    axes.set(xlabel="calibrated score", ylabel="% of clips", title=f"Scores of {chosen.name}, sources left out")
    axes.legend()


def _reliability(axes: Axes, figures: Mapping[str, Any]) -> None:
    axes.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":")
    for name, found in figures.items():
        points = found["reliability"]
        axes.plot(
            [point["mean_score"] for point in points],
            [point["share_of_calls"] for point in points],
            "o-",
            ms=4,
            color=COLOURS.get(name),
            label=name,
        )
    axes.set(xlabel="mean score", ylabel="share of calls", xlim=(0, 1), ylim=(0, 1), title="Calibration curves")
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)


def _false_alarms(axes: Axes, name: str, kinds: Mapping[str, Any]) -> None:
    names = sorted(kinds, key=lambda kind: float(kinds[kind]["value"]))
    shares = [100 * kinds[kind]["value"] for kind in names]
    below = [100 * max(kinds[kind]["value"] - kinds[kind]["low"], 0) for kind in names]
    above = [100 * max(kinds[kind]["high"] - kinds[kind]["value"], 0) for kind in names]
    axes.barh(names, shares, xerr=[below, above], color=OTHER, alpha=0.75, capsize=2)
    axes.set(xlabel="% of clips that pass", title=f"{name}: what passes for a call")
    for row, kind in enumerate(names):
        axes.annotate(f" n={kinds[kind]['clips']}", (100 * kinds[kind]["high"], row), va="center", fontsize=8)
    axes.margins(x=0.15)
