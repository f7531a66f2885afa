"""Leave whole sources out: `python -m model.crossvalidate --data ../shared/audio/training --out build/model`.

Calls and other sounds come from different recorders, so a random split would mean nothing. Each fold trains without
one source of calls and without the sources of other sounds it is judged against. The scores of all folds, each of a
model that has never heard the recorder, also calibrate the model that is shipped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from scipy.optimize import minimize

from model.dataset import Clip, Sounds, in_split, read_labels
from model.metrics import auroc, average_precision, interval, recall_at
from model.network import CallNet
from model.scoring import Features, Unit, features_of, units_of
from model.train import fit, ready_pool

console = Console(stderr=True)


@dataclass(frozen=True)
class Fold:
    """Which sources are left out: of calls, and of other sounds."""

    calls: frozenset[str]
    others: frozenset[str]

    def leaves_out(self, clip: Clip) -> bool:
        """Whether the fold's model must not hear the clip: both kinds of a left-out source are."""
        return clip.source in self.calls | self.others

    def judges(self, clip: Clip) -> bool:
        """Whether the fold's model is judged by the clip."""
        return clip.source in (self.calls if clip.is_call else self.others)


FOLDS: Mapping[str, Fold] = MappingProxyType(
    {
        "Ford archive tapes": Fold(frozenset({"Ford archive tapes", "DFO catalogue"}), frozenset({"DeepShip"})),
        "Ford-Osborne tape": Fold(frozenset({"Ford-Osborne tape", "Whistles"}), frozenset({"Orcasound"})),
        "Bigg's (ONC/JASCO)": Fold(frozenset({"Bigg's (ONC/JASCO)"}), frozenset({"ONC icListen", "DeepShip"})),
        "Watkins": Fold(frozenset({"Watkins"}), frozenset({"Watkins"})),
        "AMAR": Fold(frozenset({"AMAR"}), frozenset({"OOI Oregon", "Belgium", "DeepShip"})),
    }
)

METRICS = MappingProxyType(
    {
        "auroc": auroc,
        "auprc": average_precision,
        "recall_at_fpr_01": recall_at(0.01),
        "recall_at_fpr_05": recall_at(0.05),
        "recall_at_fpr_10": recall_at(0.10),
    }
)


def clip_logits(network: CallNet, features: Sequence[Features]) -> NDArray[np.float64]:
    """(units,): the mean of each unit's two highest window log-odds."""
    out = []
    for windows in features:
        with torch.no_grad():
            logits = network.logit(torch.from_numpy(windows)).numpy()
        out.append(float(np.sort(logits)[::-1][:2].mean()))
    return np.array(out)


def metrics_of(scores: NDArray[np.float64], units: Sequence[Unit]) -> dict[str, Any]:
    """Every metric with its interval, and how much it rests on."""
    is_call = np.array([unit.clip.is_call for unit in units])
    groups = [unit.group for unit in units]
    count = {
        "calls": int(is_call.sum()),
        "call_groups": len({unit.group for unit in units if unit.clip.is_call}),
        "others": int((~is_call).sum()),
        "other_groups": len({unit.group for unit in units if not unit.clip.is_call}),
    }
    return count | {name: interval(metric, scores, is_call, groups).to_json() for name, metric in METRICS.items()}


def calibration(
    logits: NDArray[np.float64], is_call: NDArray[np.bool_], folds: NDArray[np.str_]
) -> tuple[float, float]:
    """Scale and offset of the log-odds (Platt 1999), every fold and both kinds of sound in it weighing the same."""
    weight = np.zeros(logits.size)
    for fold in np.unique(folds):
        for side in (True, False):
            chosen = (folds == fold) & (is_call == side)
            weight[chosen] = 1 / chosen.sum()
    sign = np.where(is_call, 1.0, -1.0)

    def loss(line: NDArray[np.float64]) -> float:
        return float(np.sum(weight * np.logaddexp(0, -sign * (line[0] * logits + line[1]))))

    scale, offset = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return float(scale), float(offset)


def main(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its recordings.")],
    out: Annotated[Path, typer.Option(help="Where examples and results go.")],
    examples: Annotated[int, typer.Option(help="How many windows to make before leaving any out.")] = 24_000,
    epochs: Annotated[int, typer.Option(help="How often to go through them.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same models.")] = 1,
    processes: Annotated[int, typer.Option(help="Processes that make examples; threads that train.")] = 2,
    only: Annotated[str, typer.Option(help="One fold alone.")] = "",
) -> None:
    """Train and judge every fold; write OUT/crossvalidation.json. Clips of the test split take no part."""
    torch.set_num_threads(processes)
    clips = in_split(read_labels(data), "train", "validation")
    pool = ready_pool(clips, out, examples, seed, processes)
    sounds = Sounds()
    results: dict[str, Any] = {}
    kept: list[tuple[NDArray[np.float64], list[Unit], str]] = []
    for name, fold in FOLDS.items():
        if only and name != only:
            continue
        heard = pool.without(clip.group for clip in clips if fold.leaves_out(clip))
        network = fit(heard, epochs=epochs, seed=seed)
        units = units_of([clip for clip in clips if fold.judges(clip)], sounds)
        logits = clip_logits(network, features_of(units))
        results[name] = metrics_of(logits, units) | {"examples": len(heard.is_call)}
        kept.append((logits, units, name))
        np.savez(out / f"fold-{len(kept)}.npz", logits=logits, files=[unit.clip.path.name for unit in units])
        console.print(name, results[name])
    all_logits = np.concatenate([logits for logits, _, _ in kept])
    all_units = [unit for _, units, _ in kept for unit in units]
    folds = np.concatenate([np.full(len(units), name) for _, units, name in kept])
    scale, offset = calibration(all_logits, np.array([unit.clip.is_call for unit in all_units]), folds)
    results["all"] = metrics_of(scale * all_logits + offset, all_units)
    report = {"folds": results, "calibration": {"scale": scale, "offset": offset}}
    (out / "crossvalidation.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(report["calibration"], results["all"])


if __name__ == "__main__":
    typer.run(main)
