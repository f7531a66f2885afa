"""`haro demo`: a hydrophone's day in fast motion, made here, heard through the real pipeline."""

from __future__ import annotations

import shlex
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from shared.bootstrap import open_house, utc_now
from shared.cli.run import listen
from shared.cli.summary import print_summary, wide_console
from shared.documents import DETECTIONS
from shared.errors import HaroError
from shared.house import House
from shared.hydrophones import Hydrophone
from shared.settings import load_settings

if TYPE_CHECKING:
    from shared.demo.day import DayPlan

_IDLE_S = 30.0
_PACE_S = 0.15
_MARK = ".haro-demo"
_INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT
_ATTACK = timedelta(seconds=0.3)  # a call has begun to be heard by then; stored times are whole seconds


def demo(
    data: Annotated[Path, typer.Option(help="Folder for what the demo finds; emptied first.")] = Path("demo-data"),
    seed: Annotated[int, typer.Option(min=0, help="Another number, another day.")] = 1,
) -> None:
    """Play a hydrophone's day in fast motion on loopback, and listen to it as to a real one."""
    # Half a second of libraries that no other command needs.
    from shared.demo.day import plan_day, publishing  # noqa: PLC0415
    from shared.demo.station import Station  # noqa: PLC0415

    console = wide_console()
    _empty(data)
    settings = load_settings(data=data, stall_s=_IDLE_S, poll_interval_s=0.5)
    plan = plan_day(utc_now(), seed=seed)
    with Station() as station:
        hydrophone = Hydrophone(
            id=plan.node_name,
            name="Demo Bay",
            latitude=48.5583,
            longitude=-123.1736,
            stream_url=f"{station.url}/{plan.node_name}",
        )
        minutes = sum(folder.duration_s for folder in plan.folders) / 60
        console.print(
            f"A hydrophone's day in {minutes:.0f} minutes, played in fast motion on {hydrophone.stream_url}:\n"
            f"sea, a ship, {len(plan.call_times_utc)} orca calls, one restart, one missing and one corrupt segment.",
            highlight=False,
            soft_wrap=True,
        )
        with (
            publishing(plan, station, pace_s=_PACE_S) as published,
            open_house(settings, hydrophones=[hydrophone], exclusive=True) as house,
        ):
            stopped = listen(house, console, idle_s=_IDLE_S)
            if stopped:
                console.print("stopped")
            elif not published.done():
                raise HaroError(
                    f"the demo's sea could not be made as fast as one listens: {_IDLE_S:g} s brought no sound"
                )
            else:
                published.result()
            print_summary(house, console)
            if not stopped:
                _compare(house, plan, console)
    again = f"See them again: .venv/bin/haro detections --data {shlex.quote(str(data))}"
    console.print(again, highlight=False, soft_wrap=True)
    if stopped:
        raise typer.Exit(_INTERRUPTED)


def _compare(house: House, plan: DayPlan, console: Console) -> None:
    """Hold what was marked against what was played."""
    marked = []
    documents = house.storage.documents.query(DETECTIONS)
    for stored in documents:
        start = datetime.fromisoformat(stored.body["timestamp"])
        spans = ((p["startTime"], p["startTime"] + p["duration"]) for p in stored.body["predictions"])
        marked.append([(start + timedelta(seconds=a), start + timedelta(seconds=b)) for a, b in spans])
    calls = plan.call_times_utc
    heard = sum(any(a <= call + _ATTACK <= b for spans in marked for a, b in spans) for call in calls)
    false = sum(not any(a <= call + _ATTACK <= b for call in calls for a, b in spans) for spans in marked)
    console.print(
        f"Of the {len(calls)} calls played, {heard} lie in windows that Haro marked; "
        f"of its {len(marked)} detections, {false} hold no call.",
        highlight=False,
    )


def _empty(data: Path) -> None:
    """Remove what an earlier demo left, and nothing else."""
    try:
        if data.exists() and any(data.iterdir()):
            if not (data / _MARK).exists():
                raise HaroError(f"{data} holds something that no demo made: choose another folder with --data")
            shutil.rmtree(data)
        data.mkdir(parents=True, exist_ok=True)
        (data / _MARK).touch()
    except OSError as error:
        raise HaroError(f"{data}: cannot be used for the demo ({error}): choose another folder with --data") from error
