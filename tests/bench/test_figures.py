"""Figures say what was measured and how far it varied; targets are held against them, none in silence."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.figures import TARGETS, VARIANTS, Figure, Target, figure_of, read_figures, write_figures
from bench.plot import draw
from bench.rounds import PICTURED, figures_of
from bench.table import table_of
from shared.errors import HaroError

PARTS_S = {"decode": 0.1, "health": 0.05, "prepare": 0.02, "features": 0.03, "inference": 0.05, "audio": 0.1}


def answer(name: str, *, slower: float = 1.0, **other: Any) -> Mapping[str, Any]:
    """What a process answers, with every time so many times as long."""
    times_s = {step: seconds * slower for step, seconds in PARTS_S.items()}
    return {
        "first_score_s": 1.0 * slower,
        "first_decision_s": 1.5 * slower,
        "clips": [{**times_s, "stage": 0.4 * slower}],
        "pictures_s": [0.5] if name == PICTURED else [],
        "peak_bytes": 300_000_000,
        "features_s": [0.03],
        "ffts_s": [0.02],
        "gflop_per_s": [100.0],
        "windows": 29,
        "duration_s": 60.0,
        **other,
    }


def figures(**other: Any) -> dict[str, Figure]:
    """All figures of two rounds, the second twice as slow."""
    answers = {name: [answer(name, **other), answer(name, slower=2.0, **other)] for name in VARIANTS}
    return {figure.name: figure for figure in figures_of(answers)}


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=9))
def test_a_figure_lies_among_its_runs(values: list[float]) -> None:
    """The value is between the lowest and the highest run, and the spread no more than half of what lies between."""
    figure = figure_of("x.y", "s", values)

    assert min(values) * 0.9999 <= figure.value <= max(values) * 1.0001
    assert 0 <= figure.spread <= (max(values) - min(values)) / 2 * 1.0001


def test_one_run_among_many_moves_nothing() -> None:
    """A run that the machine spoilt changes neither value nor spread by much: both are of the middle ones."""
    assert figure_of("x.y", "s", [1.0, 1.1, 1.2, 1.3, 50.0]) == Figure("x.y", 1.2, "s", 0.1)
    assert figure_of("x.y", "s", [7.0]) == Figure("x.y", 7.0, "s", 0.0)


def test_parts_add_up_and_targets_have_their_figures() -> None:
    """`all` is the sum of its parts, speed and hydrophones follow from it, and each target has its figure."""
    found = figures()

    assert found["bundled.all"] == Figure("bundled.all", 0.3, "s", 0.05)
    assert found["bundled.times_real_time"].value == pytest.approx((300 + 150) / 2)
    assert found["bundled.hydrophones_per_core"].value == pytest.approx((120 + 60) / 2)
    assert found["bundled.features_to_ffts"].value == pytest.approx(1.5)
    assert found["bundled.peak_memory"] == Figure("bundled.peak_memory", 300.0, "MB", 0.0)
    assert all(figure.spread >= 0 for figure in found.values())
    assert {target.name for target in TARGETS} <= set(found)
    assert "int8-mean_top_k.picture" not in found


def test_reaching_a_target() -> None:
    """`at least` and `at most` include their bound."""
    assert [Target("x", "at least", 20).reached_by(value) for value in (19.9, 20, 21)] == [False, True, True]
    assert [Target("x", "at most", 3).reached_by(value) for value in (2.9, 3, 3.1)] == [True, True, False]


@pytest.mark.parametrize(("peak_bytes", "missed"), [(300_000_000, 0), (800_000_000, 3)])
def test_the_table_shows_every_target(peak_bytes: int, missed: int) -> None:
    """Each target stands in the table once, with what became of it; one that is missed is said to be missed."""
    found = figures(peak_bytes=peak_bytes)
    out = io.StringIO()

    Console(file=out, width=240).print(table_of(found))

    text = out.getvalue()
    not_reached = [target for target in TARGETS if not target.reached_by(found[target.name].value)]
    assert text.count("not reached") == len(not_reached)
    assert text.count("reached") == len(TARGETS)
    assert sum(target.name.endswith("peak_memory") for target in not_reached) == missed


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    """Figures with targets before and after the end of their bars are drawn."""
    draw(figures(), tmp_path / "plot.png")

    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_figures_are_read_as_they_were_written(tmp_path: Path) -> None:
    """The file is a list of name, value, unit and spread, and nothing is lost in it."""
    written = list(figures().values())

    write_figures(written, tmp_path / "deep" / "latest.json")

    assert list(read_figures(tmp_path / "deep" / "latest.json").values()) == written


@pytest.mark.parametrize(
    ("content", "told"), [(None, "there is no such file"), ("[1]", "no figures"), ("{", "no figures")]
)
def test_a_file_without_figures_is_told(tmp_path: Path, content: str | None, told: str) -> None:
    """What is missing or something else is an error that says what to do."""
    path = tmp_path / "latest.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")

    with pytest.raises(HaroError, match=rf"{told}.*run make bench"):
        read_figures(path)
