"""Leave whole sources out: `python -m model.crossvalidate --data FOLDER --out build/model --network separable`.

Calls and other sounds come from different recorders, so a random split would mean nothing. Each fold trains without
one source of calls and without the sources of other sounds it is then judged against. The scores of all folds, each of
a model that has never heard the recorder, compare the networks (`model.compare`) and calibrate the one that is shipped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console

from model.calibration import calibration, top_mean
from model.dataset import Clip, Sounds, in_split, read_labels
from model.folds import Fold, folds_of
from model.network import SHIPPED, CallNet, Kind
from model.scoring import Features, Unit, features_of, metrics_of, snr_units_of, units_of
from model.train import fit, ready_pool

console = Console(stderr=True)


@dataclass(frozen=True)
class FoldScores:
    """What one fold's model made of its units: per window log-odds, unit after unit, and the seconds it trained."""

    logits: NDArray[np.float64]
    sizes: NDArray[np.int64]
    seconds: float

    @property
    def unit_logits(self) -> NDArray[np.float64]:
        """(units,): the mean of each unit's two highest window log-odds."""
        return top_mean(self.logits, self.sizes)

    def save(self, path: Path) -> None:
        """Keep them; never half a file."""
        draft = path.with_suffix(".part.npz")
        np.savez(draft, logits=self.logits, sizes=self.sizes, seconds=self.seconds)
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> FoldScores:
        """What `save` kept."""
        with np.load(path) as kept:
            return cls(kept["logits"], kept["sizes"], float(kept["seconds"]))


def fold_path(out: Path, kind: Kind, number: int) -> Path:
    """Where the scores of a fold, numbered from 1, are kept."""
    return out / kind / f"fold-{number}.npz"


def fold_units(clips: Sequence[Clip], fold: Fold, sounds: Sounds) -> list[Unit]:
    """What judges a fold: its clips as recorded, then its calls set into its noise at known ratios."""
    judging = [clip for clip in clips if fold.judges(clip)]
    return units_of(judging, sounds) + snr_units_of(judging, sounds)


def window_logits(network: CallNet, features: Sequence[Features]) -> NDArray[np.float64]:
    """(windows,): the log-odds of each window of each unit."""
    with torch.no_grad():
        return np.concatenate([network.logit(torch.from_numpy(windows)).numpy() for windows in features]).astype(float)


def main(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its recordings.")],
    out: Annotated[Path, typer.Option(help="Where examples and results go.")],
    network: Annotated[Kind, typer.Option(help="Which network to train.")] = SHIPPED,
    examples: Annotated[int, typer.Option(help="How many windows to make before leaving any out.")] = 14_000,
    epochs: Annotated[int, typer.Option(help="How often to go through them.")] = 4,
    seed: Annotated[int, typer.Option(help="The same seed gives the same models.")] = 1,
    processes: Annotated[int, typer.Option(help="Processes that make examples; threads that train.")] = 2,
) -> None:
    """Train and judge every fold that OUT does not hold yet, and write OUT/NETWORK/calibration.json.

    Clips of the test split take no part.
    """
    torch.set_num_threads(processes)
    clips = in_split(read_labels(data), "train", "validation")
    pool = ready_pool(clips, out, examples, seed, processes)
    sounds = Sounds()
    (out / network).mkdir(parents=True, exist_ok=True)
    logits, is_call, of = [], [], []
    for number, (name, fold) in enumerate(folds_of(clips).items(), start=1):
        units = fold_units(clips, fold, sounds)
        path = fold_path(out, network, number)
        if not path.exists():
            start_s = time.monotonic()
            rest = pool.without(clip.group for clip in clips if fold.leaves_out(clip))
            trained = fit(rest, epochs=epochs, seed=seed, kind=network)
            seconds = time.monotonic() - start_s
            features = features_of(units)
            sizes = np.array([len(windows) for windows in features])
            FoldScores(window_logits(trained, features), sizes, seconds).save(path)
        plain = [unit for unit in units if unit.snr_db is None]
        found = FoldScores.load(path).unit_logits[: len(plain)]
        console.print(network, name, metrics_of(found, plain))
        logits.append(found)
        is_call += [unit.clip.is_call for unit in plain]
        of += [name] * len(plain)
    scale, offset = calibration(np.concatenate(logits), np.array(is_call), np.array(of))
    fitted = {"scale": scale, "offset": offset, "network": network, "epochs": epochs, "examples": examples}
    (out / network / "calibration.json").write_text(json.dumps(fitted, indent=1) + "\n", encoding="utf-8")
    console.print(network, fitted)


if __name__ == "__main__":
    typer.run(main)
