"""The figures as a picture: where a minute's time goes, model by model, and how far that is from the targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from bench.figures import PARTS, TARGETS, VARIANTS, Figure

_COLOURS = {"decode": "#4477aa", "resample": "#66ccee", "features": "#228833", "inference": "#ccbb44"}
_TARGET_COLOUR = "#cc3311"
_LABELS = {
    "bundled": "bundled model",
    "fp32-mean_top_k": "ResNet-50 FP32\n29 windows",
    "fp32-smoothed_count": "ResNet-50 FP32\n59 windows",
    "int8-mean_top_k": "ResNet-50 INT8\n29 windows",
    "int8-smoothed_count": "ResNet-50 INT8\n59 windows",
}


def draw(figures: Mapping[str, Figure], path: Path) -> None:
    """Write the picture: a bar of parts for each model, on an axis of its own, its target as a line across."""
    shown = [name for name in VARIANTS if f"{name}.all" in figures]
    canvas = Canvas(figsize=(10, 1.2 + 1.25 * len(shown)), dpi=110, layout="constrained")
    rows = canvas.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axes, name in zip(rows, shown, strict=True):
        _draw_one(axes, name, figures)
    handles, labels = rows[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper center", ncols=len(PARTS), frameon=False)
    rows[-1].set_xlabel(
        "seconds for a minute of sound, MPEG-TS bytes to decision, one thread; each model on an axis of its own\n"
        "whiskers: half the interquartile range of the whole; ResNet-50: random weights"
    )
    FigureCanvasAgg(canvas).print_png(str(path))  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped


def _draw_one(axes: Axes, name: str, figures: Mapping[str, Figure]) -> None:
    left = 0.0
    for part in PARTS:
        width = figures[f"{name}.{part}"].value
        axes.barh(0, width, left=left, color=_COLOURS[part], label=part, height=0.7)
        left += width
    whole, speed = figures[f"{name}.all"], figures[f"{name}.times_real_time"]
    axes.errorbar(whole.value, 0, xerr=whole.spread, color="black", capsize=4, linewidth=1)
    end = max(left, whole.value + whole.spread)
    target = next((target for target in TARGETS if target.name == speed.name), None)
    if target is not None:
        at_s = whole.value * speed.value / target.bound
        axes.axvline(at_s, color=_TARGET_COLOUR, linewidth=2)
        axes.text(at_s, 0.55, f" target {target.bound:g} x", color=_TARGET_COLOUR, ha="left", va="bottom", fontsize=9)
        end = max(end, at_s)
    axes.text(end * 1.015, 0, f"{speed.value:.3g} x real time", va="center", weight="bold")
    axes.set(xlim=(0, end * 1.22), ylim=(-0.5, 0.85), yticks=[0], yticklabels=[_LABELS[name]])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
