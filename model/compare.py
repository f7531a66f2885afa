"""Compare networks and baselines on the sources left out: `python -m model.compare --data FOLDER --out build/model`.

Every candidate hears the same folds (`model.crossvalidate`), is calibrated in the same way and judged by the same
units. `best` is the network with the highest AUPRC over all folds; its paired differences say how sure that is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from model.baselines import BASELINES
from model.calibration import top_mean
from model.candidates import Candidate, Units, difference
from model.comparison_plots import draw_comparison, draw_scores
from model.crossvalidate import FoldScores, fold_path, fold_units
from model.dataset import Sounds, in_split, read_labels
from model.folds import folds_of
from model.network import KINDS, CallNet
from model.scoring import features_of

console = Console(stderr=True)


def network_candidates(out: Path, folds: int, units: Units) -> tuple[list[Candidate], dict[str, dict[str, Any]]]:
    """Every network of which OUT holds all folds, and how it was trained."""
    found: list[Candidate] = []
    notes: dict[str, dict[str, Any]] = {}
    for kind in KINDS:
        paths = [fold_path(out, kind, number) for number in range(1, folds + 1)]
        if all(path.exists() for path in [*paths, out / kind / "calibration.json"]):
            parts = [FoldScores.load(path) for path in paths]
            found.append(Candidate(kind, np.concatenate([part.unit_logits for part in parts]), units))
            fitted = json.loads((out / kind / "calibration.json").read_text(encoding="utf-8"))
            notes[kind] = {
                "weights": sum(weight.numel() for weight in CallNet(kind=kind).parameters()),
                "examples": fitted["examples"],
                "epochs": fitted["epochs"],
                "training_seconds": round(sum(part.seconds for part in parts)),
            }
    return found, notes


def baseline_candidates(units: Units) -> list[Candidate]:
    """The baselines, heard through the same windows and the same mean of the two highest."""
    features = features_of(units.units)
    sizes = np.array([len(windows) for windows in features])
    heard = np.concatenate(features)
    return [Candidate(name, top_mean(measure(heard), sizes), units) for name, measure in BASELINES.items()]


def main(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its recordings.")],
    out: Annotated[Path, typer.Option(help="Where model.crossvalidate left its results.")],
    report: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("model/comparison.json"),
    pictures: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("docs/images"),
) -> None:
    """Judge every network OUT holds and both baselines; write the figures and the pictures."""
    clips = in_split(read_labels(data), "train", "validation")
    sounds, folds = Sounds(), folds_of(clips)
    judged = {name: fold_units(clips, fold, sounds) for name, fold in folds.items()}
    units = Units(
        tuple(unit for some in judged.values() for unit in some),
        np.concatenate([np.full(len(some), name) for name, some in judged.items()]),
    )
    networks, notes = network_candidates(out, len(folds), units)
    if not networks:
        raise typer.BadParameter(f"{out} holds no finished cross-validation: run model.crossvalidate first")
    candidates = [*networks, *baseline_candidates(units)]
    figures: dict[str, Any] = {}
    for candidate in candidates:
        figures[candidate.name] = notes.get(candidate.name, {}) | candidate.figures()
        _write(report, {"candidates": figures})
        console.print(candidate.name, {key: figures[candidate.name][key] for key in ("auprc", "auroc")})
    best = max(networks, key=lambda network: float(figures[network.name]["auprc"]["value"]))
    against = {other.name: difference(best, other) for other in candidates if other is not best}
    _write(report, {"best": best.name, "candidates": figures, "best_minus": against})
    console.print(best.name, against)
    draw_comparison(candidates, figures, pictures / "model-comparison.png")
    draw_scores(best, figures, pictures / "model-scores.png")


def _write(report: Path, figures: Mapping[str, Any]) -> None:
    report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
