"""Layers that cost too much in eight bits are found and kept as they were."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import onnx
import pytest

from model.int8 import MADE_FROM_KEY
from model.quantize import Bounds, search
from shared.scoring.changes import Change, Changes, changes_between, recordings_in, scores_of
from shared.scoring.detector import Detector
from tests.model.convolutions import quantize, write_convolutions, write_recordings


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of recordings."""
    return write_recordings(tmp_path_factory.mktemp("recordings"))


def test_layers_that_cost_too_much_stay_as_they_were(tmp_path: Path, recordings: Path) -> None:
    """Where what lies between two layers does not fit eight bits, both are found and kept; the bound then holds."""
    model, out, report = write_convolutions(tmp_path / "m.onnx", outlier=30_000.0), tmp_path / "m8.onnx", tmp_path / "r"
    bound = ["--max-change", "0.02"]

    result = quantize(model, recordings, out, *bound, "--report", str(report))

    assert result.exit_code == 0, result.output
    figures = json.loads(report.read_text(encoding="utf-8"))
    assert figures["kept_as_they_were"] == ["first", "last", "third", "second"]
    assert figures["changes"]["largest_change"] <= 0.02
    assert json.loads(onnx_property(out, MADE_FROM_KEY))["kept_as_they_were"] == figures["kept_as_they_were"]
    everything = quantize(model, recordings, tmp_path / "all.onnx", "--max-change", "1", "--max-flips", "9")
    assert everything.exit_code == 0
    judged = recordings_in([recordings / "evaluation"])
    scores = (scores_of(judged, Detector.load(path)) for path in (model, tmp_path / "all.onnx"))
    assert changes_between(*scores).largest > 0.02


def onnx_property(path: Path, key: str) -> str:
    """One entry of a model's metadata."""
    return str({entry.key: entry.value for entry in onnx.load(path).metadata_props}[key])


def test_layers_named_are_kept(tmp_path: Path, recordings: Path) -> None:
    """Who knows which layer to keep says so; an unknown name is told with those there are."""
    model, out = write_convolutions(tmp_path / "m.onnx"), tmp_path / "m8.onnx"

    assert quantize(model, recordings, out, "--keep", "first", "--keep", "last").exit_code == 0
    constants = {one.name for one in onnx.load(out).graph.initializer}
    assert {"first.weight", "last.weight", "second.weight_quantized"} <= constants
    wrong = quantize(model, recordings, out, "--keep", "fifth")
    assert "no layers ['fifth']; it has first, second, third, fourth, last" in str(wrong.exception)


def changed(largest: float, *, flipped: bool = False) -> Changes:
    """One recording's change."""
    return Changes((Change("a.wav", 2, largest, largest / 2, 0.5, 0.5, flipped),))


LAYERS = ("a", "b", "c", "d", "e", "f", "g")


def test_the_most_sensitive_layers_are_kept_until_it_is_good() -> None:
    """Those named are kept, then the edges, then 1, 2, 4 others in order of sensitivity, until the bound holds."""
    tried: list[tuple[str, ...]] = []
    ranked: list[str] = []

    def attempt(kept: Collection[str]) -> Changes:
        tried.append(tuple(kept))
        return changed(0.0 if {"b", "f"} <= set(kept) else 0.5)

    def sensitivity(layer: str) -> float:
        ranked.append(layer)
        return "edbfacg".index(layer)

    found = search(LAYERS, attempt, sensitivity, Bounds(0.1, 0), keep=("g",), edges=("a", "g"))

    assert tried == [("g",), ("g", "a"), ("g", "a", "c"), ("g", "a", "c", "f"), ("g", "a", "c", "f", "b", "d")]
    assert found.kept == tried[-1]
    assert ranked == ["b", "c", "d", "e", "f"]


def test_the_best_attempt_is_told_when_none_is_good() -> None:
    """One flip less counts for more than smaller changes, and some layer is always quantized."""
    outcomes = {0: changed(0.9), 1: changed(0.2, flipped=True), 2: changed(0.4), 4: changed(0.6)}

    found = search(LAYERS, lambda kept: outcomes[len(kept)], "abcdefg".index, Bounds(0.1, 0))

    assert len(found.kept) == 2


def test_layers_are_not_ranked_when_there_is_no_need() -> None:
    """Ranking takes long: a model that is good at once is not looked into."""

    def sensitivity(layer: str) -> float:
        raise AssertionError(layer)

    assert search(LAYERS, lambda _: changed(0.05), sensitivity, Bounds(0.1, 0)).kept == ()


@pytest.mark.parametrize(
    ("change", "holds"), [(changed(0.1), True), (changed(0.11), False), (changed(0, flipped=True), False)]
)
def test_bounds(change: Changes, *, holds: bool) -> None:
    """A score may move as far as the bound, and no further; a flip counts even where scores stand."""
    assert Bounds(0.1, 0).hold(change) == holds
