"""`haro backfill`: score past audio by date range."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from shared.bootstrap import open_house, the_hydrophones
from shared.cli.run import listen
from shared.cli.summary import print_summary, wide_console
from shared.cli.when import parse_when
from shared.documents import BACKFILLS, Backfill
from shared.errors import StationBusy, StreamError
from shared.hydrophones import find
from shared.ingest.backfill import requested
from shared.settings import load_settings


def backfill(
    hydrophone: Annotated[str, typer.Argument(help="Id, slug or name, such as rpi_orcasound_lab or orcasound-lab.")],
    start: Annotated[
        str, typer.Argument(help="ISO-8601 with offset, or US/Pacific local time, such as 2020-09-01T15:13.")
    ],
    end: Annotated[str, typer.Argument(help="The same; not included.")],
    hydrophones: Annotated[Path | None, typer.Option(help="File of hydrophones (TOML or JSON).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for database, clips and pictures.")] = None,
) -> None:
    """Score past audio through the same queue. Stopped in the middle, it goes on when called again."""
    settings = load_settings(hydrophones=hydrophones, data=data)
    logging.getLogger("shared").setLevel(settings.log_level)
    chosen = find(the_hydrophones(settings), hydrophone)
    start_utc, end_utc = _time(start, "START"), _time(end, "END")
    if end_utc <= start_utc:
        raise typer.BadParameter(f"END {end} is not after START {start}", param_hint="END")
    console = wide_console()
    job = requested(chosen, start_utc, end_utc)
    console.print(f"{chosen.name}: {start_utc:%Y-%m-%d %H:%M:%S} to {end_utc:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
    try:
        with open_house(settings, exclusive=True) as house:
            house.storage.documents.create(BACKFILLS, job.to_json())
            listen(house, console, idle_s=0.0, live=False)
            stored = house.storage.documents.get(BACKFILLS, chosen.id, job.id)
            print_summary(house, console)
    except StationBusy:
        with open_house(settings) as house:
            house.storage.documents.create(BACKFILLS, job.to_json())
        console.print("Haro is running on this data folder: it takes up the backfill within seconds.")
        return
    done = Backfill.model_validate(stored.body) if stored else job
    if done.detail:
        raise StreamError(f"backfill of {chosen.id}: {done.detail}")


def _time(text: str, name: str) -> datetime:
    try:
        return parse_when(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=name) from error
