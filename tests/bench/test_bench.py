"""The whole measurement, small: real processes, real figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from bench.__main__ import main
from bench.figures import PARTS, TARGETS
from bench.models import BUNDLED, Variant, make_variants, random_weights
from bench.recording import write_clip
from bench.rounds import run_rounds
from model.orcahello.weights import expected_shapes
from shared.errors import HaroError
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from tests.conftest import ROOT


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    call = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False)


def test_a_quick_run(tmp_path: Path) -> None:
    """One segment and the bundled model give a table, a plot and a list of figures in which the parts add up."""
    done = bench("--only", "bundled", "--rounds", "1", "--warm-s", "0", "--segments", "1", "--out", tmp_path)

    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "latest.json").read_text(encoding="utf-8"))
    assert all(set(row) == {"name", "value", "unit", "spread"} for row in rows)
    assert all(row["spread"] >= 0 for row in rows)
    values = {row["name"]: row["value"] for row in rows}
    assert len(values) == len(rows)
    assert values["bundled.all"] == pytest.approx(sum(values[f"bundled.{part}"] for part in PARTS), rel=1e-3)
    assert values["bundled.stage"] > values["bundled.all"]
    assert values["bundled.windows"] == 9
    assert values["bundled.first_decision"] > values["bundled.first_score"] > 0
    assert 20 < values["bundled.peak_memory"] < 4000
    assert values["bundled.picture"] > 0
    targets = [target for target in TARGETS if target.name.startswith("bundled.")]
    assert {target.name for target in targets} <= set(values)
    assert done.stdout.count("reached") == len(targets)
    assert (tmp_path / "latest.png").read_bytes().startswith(b"\x89PNG")


def test_without_onnx_it_says_what_to_install() -> None:
    """Who has not installed what development needs is told how, in one sentence."""
    program = "import runpy, sys; sys.modules['onnx'] = None; runpy.run_module('bench', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "measuring needs onnx: pip install -r requirements-dev.txt, or run `make bench`\n"


@pytest.mark.parametrize(
    ("arguments", "option"), [(["--rounds", "0"], "--rounds"), (["--segments", "1000"], "--segments")]
)
def test_a_wrong_number_is_told(arguments: list[str], option: str) -> None:
    """A number out of range is wrong usage, told before anything is measured."""
    app = typer.Typer()
    app.command()(main)

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in " ".join(result.output.split())


def test_a_model_nobody_knows_is_told() -> None:
    """What cannot be measured ends the command with one message and no traceback, before anything is measured."""
    done = bench("--only", "perch")

    assert done.returncode == 1
    assert done.stderr.startswith("--only perch: there is no such model; choose of bundled, fp32-mean_top_k")
    assert done.stderr.count("\n") == 1


def test_a_process_that_fails_is_told(tmp_path: Path) -> None:
    """The error names the model and brings what its process said."""
    write_clip(tmp_path, segments=1)
    said: list[str] = []

    with pytest.raises(HaroError, match=r"(?s)measures bundled ended with 1:.*no such model file"):
        run_rounds([Variant("bundled", tmp_path / "gone.onnx")], tmp_path, rounds=2, warm_s=0.0, progress=said.append)

    assert said == ["round 1 of 2: bundled"]


def test_random_weights_fit_the_network() -> None:
    """Every tensor of the incumbent's network is there, and the same each time."""
    weights, again = random_weights(), random_weights()

    assert {name: values.shape for name, values in weights.items()} == expected_shapes()
    assert all((again[name] == values).all() for name, values in weights.items())


def test_models_of_the_incumbents_geometry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In float and in eight bits, with either policy: they run, hear nothing, and say what they are."""
    monkeypatch.setattr("model.orcahello.weights.BLOCKS", (1, 1, 1, 1))  # a shallow network says the same, sooner
    write_clip(tmp_path, segments=1)
    asked = {"bundled", "fp32-mean_top_k", "int8-mean_top_k", "int8-smoothed_count"}

    made = {variant.name: variant.path for variant in make_variants(tmp_path, tmp_path, only=asked)}

    assert set(made) == asked
    assert made["bundled"] == BUNDLED
    detectors = {name: Detector.load(path) for name, path in made.items() if name != "bundled"}
    assert {name: one.metadata.decision.policy for name, one in detectors.items()} == {
        "fp32-mean_top_k": "mean_top_k",
        "int8-mean_top_k": "mean_top_k",
        "int8-smoothed_count": "smoothed_count",
    }
    assert {one.metadata.front_end.window_s for one in detectors.values()} == {2.0, 3.0}
    assert all(one.metadata.licence == "none" for one in detectors.values())
    assert made["int8-mean_top_k"].stat().st_size < made["fp32-mean_top_k"].stat().st_size / 3
    front_end = detectors["fp32-mean_top_k"].metadata.front_end
    quiet = LogMel(front_end).model_input(LogMel(front_end).mel_db(np.zeros(60_000, np.float32)))
    assert all(one.score(quiet).scores.max() < 0.5 for one in detectors.values())
