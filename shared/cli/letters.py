"""`haro dead-letters`: what could not be processed, and another try at it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from shared.cli.station import existing_station
from shared.settings import load_settings


def dead_letters(
    data: Annotated[Path | None, typer.Option(help="Folder of the station.")] = None,
    replay: Annotated[bool, typer.Option("--replay", help="Put them back on their queues.")] = False,
) -> None:
    """List messages that were set aside, with their reasons; --replay tries them again."""
    with existing_station(load_settings(data=data)) as house:
        table = Table(title="dead letters")
        for heading in ("since (UTC)", "queue", "message", "tries", "reason"):
            table.add_column(heading, overflow="fold")
        for name, queue in house.storage.queues.items():
            for letter in queue.dead_letters():
                since = f"{letter.dead_lettered_utc:%Y-%m-%d %H:%M:%S}"
                table.add_row(since, name, letter.message.id, str(letter.delivery_count), letter.reason)
        replayed = house.replay_dead_letters() if replay else 0
    Console().print(table)
    if replay:
        typer.echo(f"{replayed} messages are back on their queues; the running Haro takes them up.")
