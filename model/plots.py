"""The picture of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

CALL, OTHER = "#c1440e", "#1f4e79"


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Draw the test split's scores and the synthetic minutes side by side into a PNG at `path`."""
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(12.8, 4.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        _test_split(left, figures["test_split"]["scores"], figures["threshold"])
        _synthetic(right, figures["synthetic"]["calls_at_snr_db"])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _test_split(axes: Axes, scores: Mapping[str, list[float]], threshold: float) -> None:
    edges = np.linspace(0, 1, 21).tolist()
    for side, colour in (("other", OTHER), ("call", CALL)):
        weights = np.full(len(scores[side]), 100 / max(len(scores[side]), 1))
        axes.hist(scores[side], edges, weights=weights, color=colour, alpha=0.65, label=f"{side} ({len(scores[side])})")
    axes.axvline(threshold, color="black", lw=1, ls="--", label=f"threshold {threshold:g}")
    axes.set(xlabel="confidence", ylabel="% of clips", title="Test split")
    axes.legend()


def _synthetic(axes: Axes, detected: Mapping[str, float]) -> None:
    ratios = sorted(int(ratio) for ratio in detected)
    axes.plot(ratios, [100 * detected[str(ratio)] for ratio in ratios], "o-", color=CALL)
    axes.set(xlabel="signal-to-noise ratio, dB (500 Hz-10 kHz)", ylabel="% of minutes detected", ylim=(0, 103))
    axes.set_title("Synthetic minutes with three calls")
    axes.grid(alpha=0.3)
