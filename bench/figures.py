"""The figures: what was measured, with its spread, and the targets some of them are held against."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Literal

from shared.errors import HaroError


@dataclass(frozen=True)
class Figure:
    """One line of bench/latest.json.

    `name` is `variant.what`. `value` is the median of all runs, `spread` half of the range that the
    middle half of the runs lies in (half the interquartile range).
    """

    name: str
    value: float
    unit: str
    spread: float


@dataclass(frozen=True)
class Target:
    """What a figure is to be: at least, or at most, `bound`."""

    name: str
    sense: Literal["at least", "at most"]
    bound: float

    def reached_by(self, value: float) -> bool:
        """Whether that is enough."""
        return value >= self.bound if self.sense == "at least" else value <= self.bound


VARIANTS = ("bundled", "fp32-mean_top_k", "fp32-smoothed_count", "int8-mean_top_k", "int8-smoothed_count")
"""Ours; and the incumbent's geometry in float and in eight bits, with 29 windows a minute and with 59."""

PARTS = ("decode", "resample", "features", "inference")
"""From a segment's bytes to the decision. `all` is their sum: deciding itself takes microseconds."""

TARGETS = (
    Target("bundled.times_real_time", "at least", 250),
    Target("fp32-mean_top_k.times_real_time", "at least", 20),
    Target("int8-mean_top_k.times_real_time", "at least", 60),
    *(Target(f"{variant}.features_to_ffts", "at most", 2) for variant in VARIANTS),
    Target("bundled.peak_memory", "at most", 350),
    Target("fp32-mean_top_k.peak_memory", "at most", 700),
    Target("fp32-smoothed_count.peak_memory", "at most", 700),
    *(Target(f"{variant}.first_score", "at most", 3) for variant in VARIANTS),
)


def figure_of(name: str, unit: str, values: Iterable[float]) -> Figure:
    """The figure that these runs give, to five digits."""
    runs = sorted(values)
    first, _, third = quantiles(runs, n=4, method="inclusive") if len(runs) > 1 else (runs[0],) * 3
    return Figure(name, _rounded(median(runs)), unit, _rounded((third - first) / 2))


def write_figures(figures: Sequence[Figure], path: Path) -> None:
    """Write bench/latest.json."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = ",\n ".join(json.dumps(asdict(figure)) for figure in figures)
    path.write_text(f"[\n {rows}\n]\n", encoding="utf-8")


def read_figures(path: Path) -> dict[str, Figure]:
    """Figures by name. Raises HaroError when there is no such file, or it is something else."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {row["name"]: Figure(**row) for row in rows}
    except FileNotFoundError as error:
        raise HaroError(f"{path}: there is no such file; run make bench") from error
    except (ValueError, TypeError, KeyError) as error:
        raise HaroError(f"{path} holds no figures ({error!r}); run make bench") from error


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
