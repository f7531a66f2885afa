"""A model in eight bits: `python -m model.quantize --model IN.onnx --calibration DIR --evaluation DIR --out OUT.onnx`.

Every layer is quantized, and the scores of the evaluation set are compared. Where they move further than allowed, the
first layer and the linear ones are left as they were: they take little time, and cost most in accuracy as a rule. Where
that is not enough, each other layer is quantized alone, and those that move scores most are left too: 1, 2, 4, ... of
them. A model that does not keep the bounds with any of these choices is not written.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from model.windows import windows_of
from shared.errors import HaroError, ModelError
from shared.scoring.changes import Changes, changes_between, recordings_in, scores_of
from shared.scoring.detector import Detector
from shared.scoring.frontend import Features, LogMel
from shared.scoring.recording import FileScore

if TYPE_CHECKING:
    from model.int8 import Quantizer

PROBE_WINDOWS = 16
"""By so many windows of the calibration set layers are ranked: enough to tell bad ones from harmless ones."""

_TIMED_RUNS = 9
console = Console(stderr=True)


@dataclass(frozen=True)
class Bounds:
    """The most that may change: any window's score, and how many recordings are decided otherwise."""

    max_change: float
    max_flips: int

    def hold(self, changes: Changes) -> bool:
        """Whether these changes are allowed."""
        return changes.largest <= self.max_change and changes.flips <= self.max_flips


@dataclass(frozen=True)
class Attempt:
    """A choice of layers to leave as they were, and what it changes."""

    kept: tuple[str, ...]
    changes: Changes


def search(
    layers: Sequence[str],
    attempt: Callable[[Collection[str]], Changes],
    sensitivity: Callable[[str], float],
    bounds: Bounds,
    *,
    keep: Sequence[str] = (),
    edges: Sequence[str] = (),
) -> Attempt:
    """The first attempt within the bounds, or the best one of those that are not.

    Layers in `keep` are left as they were from the start. `edges` join them, then others, the most sensitive first,
    twice as many each time, as long as a layer is left to quantize.
    """
    tried: list[Attempt] = []
    for chosen in _choices(layers, sensitivity, tuple(keep), tuple(edges)):
        tried.append(Attempt(chosen, attempt(chosen)))
        if bounds.hold(tried[-1].changes):
            return tried[-1]
    return min(tried, key=lambda one: (one.changes.flips, one.changes.largest))


def _choices(
    layers: Sequence[str], sensitivity: Callable[[str], float], keep: tuple[str, ...], edges: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    yield keep
    kept = tuple(dict.fromkeys((*keep, *edges)))
    if kept != keep and len(kept) < len(layers):
        yield kept
    found = {layer: sensitivity(layer) for layer in layers if layer not in kept}
    ranked = sorted(found, key=lambda layer: -found[layer])
    count = 1
    while count < len(ranked):
        yield (*kept, *ranked[:count])
        count *= 2


def main(
    *,
    model: Annotated[Path, typer.Option(help="The model file to quantize.")],
    calibration: Annotated[list[Path], typer.Option(help="Recordings, or folders of them, to take ranges from.")],
    evaluation: Annotated[list[Path], typer.Option(help="Other recordings, or folders of them, to compare scores on.")],
    out: Annotated[Path, typer.Option(help="The model file to write.")],
    max_change: Annotated[float, typer.Option(min=0.0, max=1.0, help="The most any window's score may move.")] = 0.05,
    max_flips: Annotated[int, typer.Option(min=0, help="How many recordings may be decided otherwise.")] = 0,
    keep: Annotated[list[str] | None, typer.Option(help="A layer to leave as it is; may be given again.")] = None,
    calibration_windows: Annotated[int, typer.Option(min=1, help="How many windows to take ranges from.")] = 256,
    report: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
    full_range: Annotated[
        bool, typer.Option("--full-range", help="Weights of 8 bits, not 7: only for processors with VNNI, and for ARM.")
    ] = False,
) -> None:
    """Write MODEL with eight-bit layers, if that changes no more than is allowed; else end with 1 and write nothing."""
    try:
        from model.int8 import Quantizer  # noqa: PLC0415 - needs onnx
    except ModuleNotFoundError as error:
        raise ModelError("quantizing needs onnx: pip install -r requirements-dev.txt") from error
    original = Detector.load(model)
    learnt, judged = recordings_in(calibration), recordings_in(evaluation)
    if shared := {path.resolve() for path in learnt} & {path.resolve() for path in judged}:
        console.print(f"{len(shared)} recordings are in both sets: the changes on them flatter the model")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress,
    ):
        log_mel = LogMel(original.metadata.front_end)
        windows = list(progress.track(windows_of(learnt, log_mel, most=calibration_windows), description="calibration"))
        quantizer = Quantizer(model, windows, Path(folder), full_range=full_range)
        if unknown := set(keep or ()) - set(quantizer.layers):
            raise ModelError(f"{model}: no layers {sorted(unknown)}; it has {', '.join(quantizer.layers)}")
        trial = _Trial(quantizer, original, windows, judged, Path(folder) / "draft.onnx", progress)
        made_from = _made_from(model, original, windows, learnt, full_range=full_range)
        bounds = Bounds(max_change, max_flips)
        found = search(
            quantizer.layers, trial.attempt, trial.sensitivity, bounds, keep=keep or (), edges=quantizer.edges
        )
        quantizer.write(trial.draft, {**made_from, "kept_as_they_were": list(found.kept)}, keep=found.kept)
        figures = _figures(model, trial.draft, original, windows[0], found)
        _show(figures)
        if report is not None:
            _save(report, json.dumps({**made_from, **figures}, indent=1).encode() + b"\n")
        if not bounds.hold(found.changes):
            raise ModelError(
                f"{out} was not written: with the best choice of layers one score moves by {found.changes.largest:.4f} "
                f"and {found.changes.flips} decisions flip, and {max_change} and {max_flips} are allowed. Calibrate "
                "with more recordings, like those to be heard, or allow more with --max-change and --max-flips."
            )
        _save(out, trial.draft.read_bytes())


class _Trial:
    """Models made for a look, one after the other in one place."""

    def __init__(
        self,
        quantizer: Quantizer,
        original: Detector,
        windows: Sequence[Features],
        judged: Sequence[Path],
        draft: Path,
        progress: Progress,
    ) -> None:
        self.draft = draft
        self._quantizer = quantizer
        self._judged = judged
        self._progress = progress
        self._ranking = progress.add_task("ranking layers", total=len(quantizer.layers), visible=False)
        spread = np.linspace(0, len(windows) - 1, min(PROBE_WINDOWS, len(windows))).astype(int)
        self._probe = np.concatenate([windows[index] for index in spread])
        self._probed = original.score(self._probe).scores
        self._before = self._scores(original, "scores of the original")

    def attempt(self, kept: Collection[str]) -> Changes:
        """What the model does with all but these layers in eight bits."""
        self._quantizer.write(self.draft, {}, keep=kept)
        after = self._scores(Detector.load(self.draft), f"scores, {len(kept)} layers kept")
        changes = changes_between(self._before, after)
        console.print(
            f"{len(kept)} layers kept: scores move by {changes.largest:.4f} at most, {changes.flips} decisions flip",
            highlight=False,
        )
        return changes

    def sensitivity(self, layer: str) -> float:
        """How far, on average, this layer alone moves the scores of a few windows."""
        self._quantizer.write_only(self.draft, layer)
        moved = Detector.load(self.draft).score(self._probe).scores - self._probed
        self._progress.update(self._ranking, advance=1, visible=True)
        return float(np.abs(moved).mean())

    def _scores(self, detector: Detector, what: str) -> tuple[FileScore, ...]:
        task = self._progress.add_task(what, total=len(self._judged))
        return scores_of(self._judged, detector, lambda: self._progress.advance(task))


def _made_from(
    model: Path, original: Detector, windows: Sequence[Features], learnt: Sequence[Path], *, full_range: bool
) -> dict[str, Any]:
    return {
        "made_from": original.metadata.model_version,
        "made_from_sha256": sha256(model.read_bytes()).hexdigest(),
        "made_by": f"onnxruntime {version('onnxruntime')}",
        "weight_bits": 8 if full_range else 7,
        "calibration_windows": len(windows),
        "calibration_recordings": len(learnt),
    }


def _figures(model: Path, draft: Path, original: Detector, window: Features, found: Attempt) -> dict[str, Any]:
    quantized = Detector.load(draft)
    return {
        "model_version": quantized.metadata.model_version,
        "kept_as_they_were": list(found.kept),
        "bytes": {"before": model.stat().st_size, "after": draft.stat().st_size},
        "ms_per_window": _ms({"before": original, "after": quantized}, window),
        "changes": found.changes.to_json(),
    }


def _ms(detectors: dict[str, Detector], window: Features) -> dict[str, float]:
    """Milliseconds for one window on one thread, the best of a few runs, which take turns: machines have other work."""
    taken: dict[str, list[float]] = {name: [] for name in detectors}
    for _ in range(_TIMED_RUNS):
        for name, detector in detectors.items():
            began = perf_counter()
            detector.score(window)
            taken[name].append(perf_counter() - began)
    return {name: round(1000 * min(runs), 2) for name, runs in taken.items()}


def _show(figures: dict[str, Any]) -> None:
    changes = figures["changes"]
    table = Table(title=f"{figures['model_version']}: scores moved by {changes['mean_change']:.4f} on average")
    for heading in ("recording", "scores", "largest", "mean", "confidence", "now", "decision"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "recording" else "right")
    for one in changes["recordings"]:
        numbers = (one[key] for key in ("largest_change", "mean_change", "confidence", "confidence_now"))
        told = "[red]flipped[/red]" if one["flipped"] else "same"
        table.add_row(Path(one["file"]).name, str(one["scores"]), *(f"{number:.4f}" for number in numbers), told)
    output = Console()
    output.print(table)
    size, ms = figures["bytes"], figures["ms_per_window"]
    output.print(
        f"{size['before'] / 1e6:.1f} MB to {size['after'] / 1e6:.1f} MB;",
        f"{ms['before']} ms a window to {ms['after']} ms (one thread);",
        f"{changes['flips']} of {len(changes['recordings'])} decisions flipped;",
        f"layers kept: {', '.join(figures['kept_as_they_were']) or 'none'}",
        highlight=False,
    )


def _save(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise HaroError(f"{path}: cannot be written ({error.strerror or error})") from error


def run() -> None:
    """Run the command line: 0 when the model was written, 1 when not; never a traceback."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(main)
    try:
        app(prog_name="python -m model.quantize")
    except HaroError as error:
        sys.stderr.write(f"model.quantize: {error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
