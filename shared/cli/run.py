"""`haro run`: listen until told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from shared.bootstrap import House, open_house
from shared.cli.board import Board
from shared.cli.summary import print_summary, wide_console
from shared.runner import Runner
from shared.settings import load_settings

_IDLE_POLLS = 3.0


def run(
    hydrophones: Annotated[
        Path | None, typer.Option(help="File of hydrophones (TOML or JSON); without it, Orcasound's public ones.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder for database, clips and pictures (else HARO_DATA, else ./data).")
    ] = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End once no stream has brought anything for --idle-after seconds.")
    ] = False,
    idle_after: Annotated[float, typer.Option(min=0.1, help="Seconds without anything new, for --until-idle.")] = 15.0,
) -> None:
    """Listen to hydrophones: poll, score, record and tell people, until Ctrl-C. Safe to stop and start at any time."""
    quick = {"stall_s": idle_after, "poll_interval_s": idle_after / _IDLE_POLLS} if until_idle else {}
    settings = load_settings(hydrophones=hydrophones, data=data, **quick)
    logging.getLogger("shared").setLevel(settings.log_level)
    console = wide_console()
    with open_house(settings, exclusive=True) as house:
        listen(house, console, idle_s=idle_after if until_idle else None)
        print_summary(house, console) if until_idle else None


def listen(house: House, console: Console, *, idle_s: float | None, live: bool = True) -> None:
    """Run the house's stages on a board until idle, or until Ctrl-C or a polite kill."""
    house.detector  # noqa: B018 - a model that cannot be used is told at once, before anything is polled
    board = Board(console, house.hydrophones, house.now)
    runner = Runner(house, tell=board.tell, idle_s=idle_s, live=live)

    def finish(_signal: int, _frame: FrameType | None) -> None:
        runner.stop()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, finish)
    with board.shown():
        runner.run()
