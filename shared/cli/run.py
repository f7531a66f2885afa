"""`haro run`: listen until told to stop."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from shared.bootstrap import open_house
from shared.cli.board import Board
from shared.cli.summary import print_summary, wide_console
from shared.house import House
from shared.runner import Runner
from shared.settings import Settings, load_settings

_IDLE_POLLS = 3.0
_SHORTEST_POLL_S = 0.05
_QUICK_DELIVERIES = 4


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
    settings = load_settings(hydrophones=hydrophones, data=data)
    if until_idle:
        settings = _quick(settings, idle_after)
    console = wide_console()
    with open_house(settings, exclusive=True) as house:
        with _metrics_page(settings):
            listen(house, console, idle_s=idle_after if until_idle else None)
        if until_idle:
            print_summary(house, console)


def _metrics_page(settings: Settings) -> AbstractContextManager[None]:
    if not settings.metrics_port:
        return nullcontext()
    from shared.telemetry.page import metrics_page  # noqa: PLC0415 - only those who want a page wait for its making

    return metrics_page(settings.metrics_host, settings.metrics_port)


def _quick(settings: Settings, idle_s: float) -> Settings:
    """As patient as a run needs that is to end; what was set on purpose stays."""
    quick = {
        "stall_s": idle_s,
        "poll_interval_s": max(_SHORTEST_POLL_S, min(settings.poll_interval_s, idle_s / _IDLE_POLLS)),
        "max_deliveries": _QUICK_DELIVERIES,
    }
    return settings.model_copy(update={k: v for k, v in quick.items() if k not in settings.model_fields_set})


def listen(house: House, console: Console, *, idle_s: float | None, live: bool = True) -> bool:
    """Run the house's stages on a board until idle, or until Ctrl-C or a polite kill: then True."""
    logging.getLogger("shared").setLevel(house.settings.log_level)
    house.check_channels()
    house.detector  # noqa: B018 - a model that cannot be used is told at once, before anything is polled
    board = Board(console, house.hydrophones, house.now)
    runner = Runner(house, tell=board.tell, idle_s=idle_s, live=live)

    stopped = False

    def finish(number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True
        signal.signal(number, signal.default_int_handler)  # whoever insists does not wait for the tidy end
        runner.stop()

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.signal(number, finish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with board.shown():
            runner.run()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return stopped
