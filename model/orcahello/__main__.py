"""`python -m model.orcahello`: the incumbent's weights as a Haro model, and whether it answers as they did."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table

from model.orcahello.download import REPOSITORY, fetch
from model.orcahello.fastai import read_fastai
from model.orcahello.metadata import PolicyName, metadata_of
from model.orcahello.safetensors import read_safetensors
from model.orcahello.verify import Verdict, verify
from model.orcahello.weights import Tensor, checked
from shared.errors import HaroError, ModelError
from shared.scoring.detector import Detector

app = typer.Typer(
    name="python -m model.orcahello",
    help="OrcaHello's published detector as a Haro model. The weights have a licence of their own: read it first.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)

Out = Annotated[Path, typer.Option(help="The ONNX file to write.")]
Policy = Annotated[
    PolicyName, typer.Option(help="mean_top_k: 3-s windows, as in production now; smoothed_count: 2-s windows.")
]


@app.command()
def export(
    *,
    out: Out,
    weights: Annotated[
        Path | None, typer.Option(help=f"model.safetensors of {REPOSITORY}; with --download, where to keep it.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch it from the Hugging Face hub first.")] = False,
    revision: Annotated[str, typer.Option(help="Branch or commit on the hub.")] = "main",
    policy: Policy = PolicyName.MEAN_TOP_K,
) -> None:
    """Write the published weights as one ONNX file. Needs no torch."""
    if weights is None and not download:
        raise typer.BadParameter("name the file with --weights, or fetch it with --download")
    source = weights or out.with_name("orcahello.safetensors")
    if download:
        _download(source, revision)
    _write(read_safetensors(source), source, out, policy)


@app.command("convert-fastai")
def convert_fastai(
    weights: Annotated[Path, typer.Option(help="model.pkl of fastai, the zip it came in, or a state dict (.pt).")],
    out: Out,
    policy: Policy = PolicyName.SMOOTHED_COUNT,
) -> None:
    """Write the weights of a fastai export as one ONNX file. The pickle is read, never run; needs no torch."""
    _write(read_fastai(weights), weights, out, policy)


@app.command("verify")
def verify_(
    model: Annotated[Path, typer.Option(help="The ONNX file to check.")],
    reference: Annotated[Path, typer.Option(help="Folder of the published inputs and scores.")],
    wav: Annotated[Path | None, typer.Option(help="The recording they were made of, to check whole.")] = None,
) -> None:
    """Score the published windows and compare. Ends with 0 when all is right, 1 when not, 3 when some is missing."""
    table = Table(title=f"{model.name} and what was published")
    for heading in ("what", "published", "found", ""):
        table.add_column(heading, overflow="fold")
    colours = {Verdict.RIGHT: "green", Verdict.WRONG: "red", Verdict.MISSING: "yellow"}
    verdicts = set()
    for check in verify(Detector.load(model), reference, wav):
        verdicts.add(check.verdict)
        table.add_row(check.what, check.expected, check.found, f"[{colours[check.verdict]}]{check.verdict}[/]")
    Console().print(table)
    if verdicts != {Verdict.RIGHT}:
        raise typer.Exit(1 if Verdict.WRONG in verdicts else 3)


def _download(target: Path, revision: str) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(REPOSITORY, total=None)
        target.parent.mkdir(parents=True, exist_ok=True)
        found = fetch(
            target, revision=revision, progress=lambda done, total: progress.update(task, completed=done, total=total)
        )
    console.print(f"{target}: fetched, SHA-256 {found}", highlight=False)


def _write(tensors: Mapping[str, Tensor], source: Path, out: Path, policy: PolicyName) -> None:
    try:
        from model.onnx_file import save  # noqa: PLC0415 - only those who export need onnx
        from model.orcahello.graph import build  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise ModelError("writing a model needs onnx: pip install -r requirements-dev.txt") from error
    weights = checked(tensors, source=str(source))
    metadata = metadata_of(weights, policy)
    model = build(weights, metadata)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        save(model, out)
    except OSError as error:
        raise ModelError(f"{out}: cannot be written ({error.strerror or error})") from error
    Detector.load(out)
    console.print(f"{out}: {metadata.model_version}, {out.stat().st_size / 2**20:.1f} MB", highlight=False)


def main() -> None:
    """Run the command line: 0 when all went well, 1 or 3 when something did not; never a traceback."""
    try:
        app()
    except HaroError as error:
        sys.stderr.write(f"model.orcahello: {error}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
