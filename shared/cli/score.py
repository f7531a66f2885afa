"""`haro score`: score recordings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from shared.bootstrap import load_detector
from shared.errors import HaroError
from shared.scoring.annotations import audacity_labels, merged, raven_table
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from shared.scoring.recording import FileScore, score_recording
from shared.settings import load_settings


class Annotations(StrEnum):
    """Programs whose annotation files we write."""

    RAVEN = "raven"
    AUDACITY = "audacity"


_SUFFIX = {Annotations.RAVEN: ".selections.txt", Annotations.AUDACITY: ".labels.txt"}


def score(
    files: Annotated[list[Path], typer.Argument(help="Recordings of any length and format that PyAV reads.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line and file.")] = False,
    annotations: Annotated[
        Annotations | None,
        typer.Option(help="Write FILE.selections.txt (Raven) or FILE.labels.txt (Audacity) beside each recording."),
    ] = None,
    out_dir: Annotated[Path | None, typer.Option(help="Folder for annotation files, instead.")] = None,
    model: Annotated[Path | None, typer.Option(help="ONNX model file, instead of the bundled one.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Decision threshold, instead of the model's own.")
    ] = None,
) -> None:
    """Score recordings for orca calls. Ends with 0 when all were scored, 1 when some were not."""
    detector = load_detector(load_settings(model=model))
    log_mel = LogMel(detector.metadata.front_end)
    failed = 0
    written: set[Path] = set()
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:.0f} s scored"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        for number, file in enumerate(files, start=1):
            task = progress.add_task(f"[{number}/{len(files)}] {file.name}", total=None)
            path = (out_dir or file.parent) / (file.name + _SUFFIX[annotations]) if annotations else None
            try:
                scored = score_recording(file, detector, log_mel, threshold=threshold, progress=_teller(progress, task))
                if annotations and path:
                    _write_annotations(scored, annotations, path, detector, written)
            except HaroError as error:
                failed += 1
                _print_error(file, str(error), as_json=as_json)
            else:
                typer.echo(json.dumps(scored.to_json()) if as_json else _sentence(scored))
                if path:
                    typer.echo(f"    annotations: {path}", err=as_json)  # beside --json, standard output is JSON alone
            progress.remove_task(task)
    if failed:
        raise typer.Exit(1)


def _teller(progress: Progress, task: object) -> Callable[[float], None]:
    return lambda done_s: progress.update(task, completed=done_s)  # type: ignore[arg-type]  # rich hides its TaskID


def _write_annotations(
    scored: FileScore, kind: Annotations, path: Path, detector: Detector, written: set[Path]
) -> None:
    if path in written:
        raise HaroError(f"{path} was just written for another recording; choose one --out-dir for each")
    front_end = detector.metadata.front_end
    if kind is Annotations.RAVEN:
        top_hz = min(front_end.f_max_hz, front_end.sample_rate_hz / 2)
        text = raven_table(scored.positives, low_hz=front_end.f_min_hz, high_hz=top_hz)
    else:
        text = audacity_labels(scored.positives)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.add(path)
    except OSError as error:
        raise HaroError(
            f"{path}: cannot be written ({error.strerror}); choose another folder with --out-dir"
        ) from error


def _print_error(file: Path, error: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"file": str(file), "error": error}))
    else:
        typer.echo(f"{file}: NOT SCORED: {error}", err=True)


def _sentence(scored: FileScore) -> str:
    verdict = "ORCA CALLS" if scored.detected else "no calls"
    heard = (
        ", ".join(f"{at.start_s:.1f}-{at.end_s:.1f} s" for at in merged(scored.positives)) if scored.detected else ""
    )
    sound = "" if scored.health.state == "online" else f"  [{scored.health.state}]"
    line = f"{scored.file}: {verdict}, confidence {scored.confidence:.2f}, {scored.duration_s:.1f} s{sound}"
    return f"{line}\n    at {heard}" if heard else line
