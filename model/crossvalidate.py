"""Leave whole sources out: `python -m model.crossvalidate --data FOLDER --out build/model`.

Calls and other sounds come from different recorders, so a random split would mean nothing. Each fold trains without
one source of calls and without the sources of other sounds it is judged against. The scores of all folds, each of a
model that has never heard the recorder, also calibrate the model that is shipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from scipy.optimize import minimize

from model.dataset import Sounds, in_split, read_labels
from model.export import METADATA
from model.folds import FOLDS
from model.network import CallNet
from model.scoring import Features, Unit, detected_share, features_of, metrics_of, units_of
from model.train import fit, ready_pool
from shared.scoring.model_file import MeanTopK

console = Console(stderr=True)

OTHERS_WEIGH = 2.0
"""How much more other sounds count than calls when scores are calibrated.

A sea without whales is the rule, and whales that call once mostly call again: a false alarm costs more than a miss.
"""


def clip_logits(network: CallNet, features: Sequence[Features]) -> NDArray[np.float64]:
    """(units,): the mean of each unit's two highest window log-odds."""
    out = []
    for windows in features:
        with torch.no_grad():
            logits = network.logit(torch.from_numpy(windows)).numpy()
        out.append(float(np.sort(logits)[::-1][:2].mean()))
    return np.array(out)


def calibration(
    logits: NDArray[np.float64], is_call: NDArray[np.bool_], folds: NDArray[np.str_]
) -> tuple[float, float]:
    """Scale and offset of the log-odds (Platt 1999), every fold weighing the same, and others more than calls."""
    weight = np.zeros(logits.size)
    for fold in np.unique(folds):
        for side in (True, False):
            chosen = (folds == fold) & (is_call == side)
            weight[chosen] = (1 if side else OTHERS_WEIGH) / chosen.sum()
    sign = np.where(is_call, 1.0, -1.0)

    def loss(line: NDArray[np.float64]) -> float:
        return float(np.sum(weight * np.logaddexp(0, -sign * (line[0] * logits + line[1]))))

    scale, offset = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return float(scale), float(offset)


def summary(judged: Mapping[str, tuple[NDArray[np.float64], list[Unit]]]) -> dict[str, Any]:
    """The figures of each fold, of all of them calibrated and pooled, and the calibration."""
    logits = np.concatenate([some for some, _ in judged.values()])
    units = [unit for _, some in judged.values() for unit in some]
    folds = np.concatenate([np.full(len(some), name) for name, (_, some) in judged.items()])
    scale, offset = calibration(logits, np.array([unit.clip.is_call for unit in units]), folds)
    threshold = METADATA.decision.threshold if isinstance(METADATA.decision, MeanTopK) else 0.5
    figures = {}
    for name, (some, of) in {**judged, "all": (logits, units)}.items():
        scores = 1 / (1 + np.exp(-(scale * some + offset)))
        figures[name] = metrics_of(scores, of)
        for side, key in ((True, "calls_detected"), (False, "others_detected")):
            chosen = [index for index, unit in enumerate(of) if unit.clip.is_call == side]
            figures[name][key] = detected_share(scores[chosen], [of[index] for index in chosen], threshold)
    return {"folds": figures, "calibration": {"scale": scale, "offset": offset}}


def main(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its recordings.")],
    out: Annotated[Path, typer.Option(help="Where examples and results go.")],
    examples: Annotated[int, typer.Option(help="How many windows to make before leaving any out.")] = 24_000,
    epochs: Annotated[int, typer.Option(help="How often to go through them: half as often as the final model.")] = 3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same models.")] = 1,
    processes: Annotated[int, typer.Option(help="Processes that make examples; threads that train.")] = 2,
) -> None:
    """Train and judge every fold that OUT does not hold yet; write OUT/crossvalidation.json.

    Clips of the test split take no part.
    """
    torch.set_num_threads(processes)
    clips = in_split(read_labels(data), "train", "validation")
    pool = ready_pool(clips, out, examples, seed, processes)
    sounds = Sounds()
    judged: dict[str, tuple[NDArray[np.float64], list[Unit]]] = {}
    for name, fold in FOLDS.items():
        units = units_of([clip for clip in clips if fold.judges(clip)], sounds)
        kept = out / f"fold-{list(FOLDS).index(name) + 1}.npz"
        if not kept.exists():
            network = fit(pool.without(clip.group for clip in clips if fold.leaves_out(clip)), epochs=epochs, seed=seed)
            np.savez(kept, logits=clip_logits(network, features_of(units)))
        with np.load(kept) as found:
            judged[name] = (found["logits"], units)
        console.print(name, metrics_of(*judged[name]))
    report = summary(judged)
    (out / "crossvalidation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(report["calibration"], report["folds"]["all"])


if __name__ == "__main__":
    typer.run(main)
