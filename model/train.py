"""Train a network on everything but the test split: `python -m model.train --data FOLDER --out build/model`."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.progress import Progress
from torch import Tensor, nn

from model.dataset import Clip, Sounds, in_split, read_labels
from model.examples import FRONT_END, Pool, Workshop
from model.network import SHIPPED, CallNet, Kind

EXAMPLES, EPOCHS = 24_000, 5
"""How much the final model learns from, and how often; a fold, of which many are trained, makes do with less."""
LEARNING_RATE = 3e-3
"""The highest of the cycle."""
SHARE = 500
"""Examples made by one worker at a time."""


def build_pool(
    clips: tuple[Clip, ...], count: int, *, seed: int, processes: int, advance: Callable[[int], object] = lambda _: None
) -> Pool:
    """About `count` examples of the clips. The seed alone decides them, however many processes share the work."""
    shares = [(clips, SHARE, seed, index) for index in range(-(-count // SHARE))]
    pools = []
    with ProcessPoolExecutor(processes) as workers:
        for pool in workers.map(_make_share, shares):
            pools.append(pool)
            advance(len(pool.is_call))
    return Pool(
        np.concatenate([pool.mel for pool in pools]),
        np.concatenate([pool.is_call for pool in pools]),
        np.concatenate([pool.groups for pool in pools]),
    )


_SOUNDS = Sounds()  # one per worker, so that it decodes each clip once


def _make_share(share: tuple[tuple[Clip, ...], int, int, int]) -> Pool:
    clips, count, seed, index = share
    return Workshop(clips, _SOUNDS, np.random.default_rng([seed, index])).pool(count)


def save_pool(pool: Pool, path: Path) -> None:
    """Keep the examples for other trainings."""
    np.savez(path, mel=pool.mel, is_call=pool.is_call, groups=pool.groups)


def load_pool(path: Path) -> Pool:
    """The examples that `save_pool` kept."""
    with np.load(path) as kept:
        return Pool(kept["mel"], kept["is_call"], kept["groups"])


def fit(
    pool: Pool,
    *,
    epochs: int = EPOCHS,
    batch: int = 64,
    seed: int = 0,
    kind: Kind = SHIPPED,
    on_epoch: Callable[[int, float], object] = lambda _epoch, _loss: None,
) -> CallNet:
    """A network trained on the pool, on a GPU where torch finds one, then on the CPU and in evaluation mode.

    `on_epoch` hears of each epoch's number and mean loss.

    AdamW on one cycle of the learning rate; labels are smoothed by 0.02, for some calls are inaudible in their noise.
    """
    seed_everything(seed)
    rng = np.random.default_rng(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = CallNet(FRONT_END.n_mels, FRONT_END.input_frames, kind=kind)
    network = network.to(device, memory_format=torch.channels_last)  # a third faster on a CPU
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    steps = epochs * (len(pool.is_call) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.2)
    criterion = nn.BCEWithLogitsLoss()
    network.train()
    for epoch in range(epochs):
        order = rng.permutation(len(pool.is_call))
        losses = []
        for start in range(0, len(order) - batch + 1, batch):
            chosen = np.sort(order[start : start + batch])
            mel = masked(torch.from_numpy(pool.mel[chosen].astype(np.float32)), rng)
            wanted = torch.from_numpy(pool.is_call[chosen].astype(np.float32)) * 0.96 + 0.02
            loss = criterion(network.logit(mel.to(device)), wanted.to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(float(loss.detach()))
        on_epoch(epoch, float(np.mean(losses)))
    return network.cpu().eval()


def masked(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """SpecAugment (Park et al. 2019): up to two bands of rows and two of frames are levelled to each row's mean."""
    mean = mel.mean(dim=2, keepdim=True)
    out = mel.clone()
    for index in range(len(mel)):
        for _ in range(int(rng.integers(3))):
            height, row = int(rng.integers(1, 13)), int(rng.integers(mel.shape[1]))
            out[index, row : row + height] = mean[index, row : row + height]
        for _ in range(int(rng.integers(3))):
            width, frame = int(rng.integers(1, 13)), int(rng.integers(mel.shape[2]))
            out[index, :, frame : frame + width] = mean[index]
    return out


def seed_everything(seed: int) -> None:
    """Fix what torch and Python draw at random; other machines and numbers of threads still round otherwise."""
    random.seed(seed)
    torch.manual_seed(seed)


def ready_pool(clips: tuple[Clip, ...], out: Path, count: int, seed: int, processes: int) -> Pool:
    """The pool kept in `out`, or a new one of the clips, kept there."""
    path = out / f"pool-{count}-{seed}.npz"
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        with Progress() as progress:
            task = progress.add_task("examples", total=count)
            pool = build_pool(
                clips, count, seed=seed, processes=processes, advance=lambda done: progress.advance(task, done)
            )
        save_pool(pool, path)
    return load_pool(path)


def main(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its recordings.")],
    out: Annotated[Path, typer.Option(help="Where examples and weights go.")],
    network: Annotated[Kind, typer.Option(help="Which network to train.")] = SHIPPED,
    examples: Annotated[int, typer.Option(help="How many windows to learn from.")] = EXAMPLES,
    epochs: Annotated[int, typer.Option(help="How often to go through them.")] = EPOCHS,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model.")] = 1,
    processes: Annotated[int, typer.Option(help="Processes that make examples; threads that train.")] = 2,
) -> None:
    """Train on the groups of the train and validation splits and write OUT/NETWORK/weights.pt."""
    torch.set_num_threads(processes)
    clips = in_split(read_labels(data), "train", "validation")
    pool = ready_pool(clips, out, examples, seed, processes)
    with Progress() as progress:
        task = progress.add_task("training", total=epochs)

        def heard(epoch: int, loss: float) -> None:
            progress.console.print(f"epoch {epoch + 1}/{epochs}: loss {loss:.4f}")
            progress.advance(task)

        trained = fit(pool, epochs=epochs, seed=seed, kind=network, on_epoch=heard)
    (out / network).mkdir(parents=True, exist_ok=True)
    torch.save(trained.state_dict(), out / network / "weights.pt")


if __name__ == "__main__":
    typer.run(main)
