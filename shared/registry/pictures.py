"""Two models on the same recordings, as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shared.errors import HaroError
from shared.scoring.changes import Changes

_SAME, _OTHERWISE = "#00708a", "#d1495b"


def difference_picture(changes: Changes, names: tuple[str, str], out: Path) -> None:
    """Draw each recording's confidence by the first model against that by the second. Raises HaroError."""
    figure = Figure(figsize=(6.4, 6.4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=1, zorder=0)
    for flipped, colour, label in ((False, _SAME, "decided alike"), (True, _OTHERWISE, "decided otherwise")):
        chosen = [change for change in changes.each if change.flipped is flipped]
        points = np.array([(change.confidence, change.confidence_now) for change in chosen]).reshape(-1, 2)
        axes.scatter(points[:, 0], points[:, 1], s=28, color=colour, alpha=0.7, label=f"{label}: {len(chosen)}")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set_xlabel(f"confidence, {names[0]}", parse_math=False)
    axes.set_ylabel(f"confidence, {names[1]}", parse_math=False)
    title = f"{len(changes.each)} recordings: above the line {names[1]} scores higher"
    axes.set_title(title, fontsize=10, parse_math=False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)  # any corner of the axes may hold recordings
    axes.spines[["top", "right"]].set_visible(False)
    try:
        figure.savefig(out, format="png")
    except OSError as error:
        raise HaroError(f"{out}: cannot be written ({error.strerror}); choose another file") from error
