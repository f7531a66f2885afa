"""The three commands that make a model of one's own recordings, and the comparison."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

pytest.importorskip("torch", reason="torch is installed for training only (requirements-train.txt)")
pytest.importorskip("onnxscript", reason="exporting needs requirements-train.txt")

from model import compare, crossvalidate, export, metrics, train
from model.comparison_tables import comparison_tables
from model.dataset import SAMPLE_RATE_HZ, in_split, read_labels
from model.folds import folds_of
from shared.demo.sea import orca_call, sea_noise
from shared.scoring.detector import Detector

EXAMPLES, SHARE = 100, 50
COLUMNS = ("file", "label", "species", "site", "group", "duration_s", "sample_rate_hz", "source_repository", "licence")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of two places of somebody's own, with calls and quiet sea at each."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(1)
    rows = []
    for index in range(32):
        label, place = ("call", "ambient")[index % 2], ("reef", "bay")[index // 2 % 2]
        sound = sea_noise(5.0, SAMPLE_RATE_HZ, rng)
        if label == "call":
            sound = orca_call(SAMPLE_RATE_HZ, rng)
        wavfile.write(folder / f"{index}.wav", SAMPLE_RATE_HZ, (sound * 20_000).astype(np.int16))
        seconds = f"{sound.size / SAMPLE_RATE_HZ:.3f}"
        rows.append([f"{index}.wav", label, "", "", f"day {index}", seconds, "20000", place, "ours"])
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([COLUMNS, *rows])
    return folder


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the first two commands, of very few examples."""
    folder = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(train, "SHARE", SHARE)
        crossvalidate.main(data, folder, "separable", EXAMPLES, 1, 1, 1)
        train.main(data, folder, "separable", EXAMPLES, 1, 1, 1)
    return folder


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch warns itself while it exports
def test_three_commands_make_a_model_file(out: Path, tmp_path: Path) -> None:
    """Cross-validate, train, export: a file that Haro loads, with the name, licence and threshold that were given."""
    file = tmp_path / "ours.onnx"

    export.main(out, file, "separable", "our-orca", "0.1.0", "two places", "ours alone", 0.7)

    metadata = Detector.load(file).metadata
    assert metadata.model_version == "our-orca/0.1.0"
    assert (metadata.training_data, metadata.licence) == ("two places", "ours alone")
    assert metadata.decision.model_dump()["threshold"] == 0.7


def test_folds_are_kept_and_not_trained_again(out: Path, data: Path) -> None:
    """A second run finds every fold done, leaves it alone and calibrates as before."""
    kept = {path.name: path.stat().st_mtime_ns for path in (out / "separable").glob("fold-*.npz")}
    before = json.loads((out / "separable" / "calibration.json").read_text(encoding="utf-8"))

    crossvalidate.main(data, out, "separable", EXAMPLES, 1, 1, 1)

    assert len(kept) == len(folds_of(in_split(read_labels(data), "train", "validation"))) == 2
    assert {path.name: path.stat().st_mtime_ns for path in (out / "separable").glob("fold-*.npz")} == kept
    assert json.loads((out / "separable" / "calibration.json").read_text(encoding="utf-8")) == before


def test_comparison_judges_networks_and_baselines_alike(
    out: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures of the network and both baselines by the same clips, sources and ratios; pictures; tables of them."""
    monkeypatch.setattr(metrics, "RESAMPLES", 20)
    report = tmp_path / "comparison.json"

    compare.main(data, out, report, tmp_path)

    found = json.loads(report.read_text(encoding="utf-8"))
    assert found["best"] == "separable"
    assert set(found["candidates"]) == {"separable", "energy", "entropy"}
    assert set(found["best_minus"]) == {"energy", "entropy"}
    for figures in found["candidates"].values():
        assert set(figures["by_source"]) == {"reef", "bay"}
        assert set(figures["by_snr_db"]) == {"-10", "-5", "0", "5", "10", "20"}
        assert {part["clips"] for part in figures["by_snr_db"].values()} == {
            sum(part["calls"] for part in figures["by_source"].values())
        }
    assert (tmp_path / "model-comparison.png").stat().st_size > 10_000
    assert (tmp_path / "model-scores.png").stat().st_size > 10_000
    tables = [table.splitlines() for table in comparison_tables(found).split("\n\n")]
    assert len(tables) == 7
    assert all(len({line.count("|") for line in table}) == 1 for table in tables)
