"""All commands of `haro`, and the terminal they tell their warnings to."""

from __future__ import annotations

import logging

import typer
from rich.console import Console
from rich.logging import RichHandler

from shared.cli import backfill, demo, doctor, features, letters, models, review, run, score

app = typer.Typer(
    name="haro",
    help="Listens to live hydrophones and tells people when orcas call.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("score")(score.score)
app.command("backfill")(backfill.backfill)
app.command("features")(features.features)
app.command("doctor")(doctor.doctor)
app.command("detections")(review.detections)
app.command("review")(review.review)
app.command("dead-letters")(letters.dead_letters)
app.add_typer(models.app, name="models")


def log_to_terminal() -> None:
    """Send what the log has to say to standard error."""
    handler = RichHandler(console=Console(stderr=True), show_path=False, log_time_format="%H:%M:%S")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("azure").setLevel(logging.ERROR)  # what the SDKs meet is told by our own errors, in a sentence
