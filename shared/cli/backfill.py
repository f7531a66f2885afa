"""`haro backfill`: score past audio by date range."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from shared.bootstrap import open_house, the_hydrophones, utc_now
from shared.cli.run import listen
from shared.cli.summary import print_summary, wide_console
from shared.cli.when import parse_when
from shared.documents import BACKFILLS, Backfill
from shared.errors import StationBusy, StreamError
from shared.house import House
from shared.hydrophones import find
from shared.ingest.backfill import request_backfill
from shared.ingest.jobs import time_range
from shared.settings import load_settings


def backfill(
    hydrophone: Annotated[str, typer.Argument(help="Id, slug or name, such as rpi_orcasound_lab or orcasound-lab.")],
    start: Annotated[
        str, typer.Argument(help="ISO-8601 with offset, or US/Pacific local time, such as 2020-09-01T15:13.")
    ],
    end: Annotated[str, typer.Argument(help="The same, in the past too; not included.")],
    hydrophones: Annotated[Path | None, typer.Option(help="File of hydrophones (TOML or JSON).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for database, clips and pictures.")] = None,
) -> None:
    """Score past audio through the same queue. Stopped in the middle, it goes on when called again."""
    settings = load_settings(hydrophones=hydrophones, data=data)
    chosen = find(the_hydrophones(settings), hydrophone)
    now = utc_now()
    start_utc, end_utc = _time(start, "START", now), _time(end, "END", now)
    if end_utc <= start_utc:
        raise typer.BadParameter(f"END {end} is not after START {start}", param_hint="END")
    job = time_range(chosen.id, start_utc, end_utc, reason="requested")
    console = wide_console()
    console.print(f"{chosen.name}: {start_utc:%Y-%m-%d %H:%M:%S} to {end_utc:%Y-%m-%d %H:%M:%S} UTC", highlight=False)
    try:
        with open_house(settings, exclusive=True) as house:
            request_backfill(house.storage.documents, job)
            listen(house, console, idle_s=0.0, live=False)
            parts = _parts(house, job)
            if any(part.batches_sent for part in parts):
                print_summary(house, console)
            _complain(parts)
    except StationBusy:
        with open_house(settings) as house:
            request_backfill(house.storage.documents, job)
        console.print("A Haro is at work there: it takes up the backfill within seconds.")


def _parts(house: House, job: Backfill) -> list[Backfill]:
    """The job as it stands now, and the stretches it was split into."""
    found = [Backfill.model_validate(stored.body) for stored in house.storage.documents.query(BACKFILLS)]
    return [part for part in found if job.id in (part.id, part.parent)]


def _complain(parts: list[Backfill]) -> None:
    """Say what became of the range when it is not done, or when there was nothing in it."""
    left = [part for part in parts if part.state == "open"]
    if left:
        why = next((part.detail for part in left if part.detail), "it was stopped")
        raise StreamError(f"the backfill is not finished: {why}. The same command goes on with it.")
    troubles = [part.detail for part in parts if part.detail]
    if troubles:
        raise StreamError("; ".join(troubles))
    if not any(part.batches_sent for part in parts):
        raise StreamError("no audio was published in that range, or all of it had been scored before")


def _time(text: str, name: str, now: datetime) -> datetime:
    """The past moment meant. One to come is refused: the range that ends there would be another at each call."""
    try:
        moment = parse_when(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=name) from error
    if moment > now:
        complaint = f"{name} {text} lies in the future: it is now {now:%Y-%m-%dT%H:%M:%SZ}"
        raise typer.BadParameter(complaint, param_hint=name)
    return moment
