"""The command `haro`: the app as a laptop sees it."""

from __future__ import annotations

import logging
import sys
from io import TextIOWrapper

import typer
from rich.console import Console
from rich.logging import RichHandler

from shared.cli import backfill, demo, doctor, features, letters, models, review, run, score
from shared.errors import HaroError, SettingsError

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


def main() -> None:
    """Run the command line: 0 when all went well, 1 when something did not, 2 for wrong usage; never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text
    handler = RichHandler(console=Console(stderr=True), show_path=False, log_time_format="%H:%M:%S")
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("azure").setLevel(logging.ERROR)  # what the SDKs meet is told by our own errors, in a sentence
    try:
        app()
    except HaroError as error:
        sys.stderr.write(f"haro: {error}\n")
        raise SystemExit(2 if isinstance(error, SettingsError) else 1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nothing is left to say, and nobody to say it to
        raise SystemExit(1) from None
