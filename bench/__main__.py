"""`python -m bench`: measure every model, print one table, write bench/latest.json and bench/latest.png."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench.figures import VARIANTS, write_figures
from bench.page import rewrite_page
from bench.plot import draw
from bench.recording import SEGMENTS, write_clip
from bench.table import table_of
from shared.errors import HaroError

HERE = Path(__file__).parent.resolve()
_TABLE_WIDTH = 140


def main(
    *,
    only: Annotated[list[str] | None, typer.Option(help=f"Measure this alone, of {', '.join(VARIANTS)}.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each model's process is started.")] = 4,
    warm_s: Annotated[float, typer.Option(min=0.0, max=60.0, help="How long each of them then scores.")] = 4.0,
    segments: Annotated[int, typer.Option(min=1, max=60, help="Segments of 10 s in the clip.")] = SEGMENTS,
    out: Annotated[Path, typer.Option(help="The folder for latest.json and latest.png.")] = HERE,
) -> None:
    """Measure every model, print one table, and write latest.json and latest.png."""
    try:
        from bench.models import make_variants  # noqa: PLC0415 - needs onnx
        from bench.rounds import figures_of, run_rounds  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise HaroError("measuring needs onnx: pip install -r requirements-dev.txt, or run `make bench`") from error
    console = Console(stderr=True)
    if unknown := sorted(set(only or ()) - set(VARIANTS)):
        raise HaroError(f"--only {', '.join(unknown)}: there is no such model; choose of {', '.join(VARIANTS)}")
    if out.resolve() == HERE and segments != SEGMENTS:
        raise HaroError(f"the pages speak of a clip of {SEGMENTS} segments: for another one name a folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HaroError(f"--out {out}: {error}") from error
    with tempfile.TemporaryDirectory() as folder, console.status("making the clip and the models") as status:
        clip_folder = Path(folder)
        write_clip(clip_folder, segments=segments)
        variants = make_variants(clip_folder, clip_folder, only=only or VARIANTS)
        answers = run_rounds(variants, clip_folder, rounds=rounds, warm_s=warm_s, progress=status.update)
    figures = list(figures_of(answers))
    write_figures(figures, out / "latest.json")
    by_name = {figure.name: figure for figure in figures}
    draw(by_name, out / "latest.png")
    if out.resolve() == HERE and set(VARIANTS) <= {variant.name for variant in variants}:
        rewrite_page()
    Console(width=_TABLE_WIDTH).print(table_of(by_name))
    console.print(f"{out / 'latest.json'}, {out / 'latest.png'}", highlight=False)


if __name__ == "__main__":
    try:
        typer.run(main)
    except HaroError as error:
        sys.exit(str(error))
