"""`haro doctor`: is everything in order, and if not, what is to be done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from shared.bootstrap import House, load_detector, open_house
from shared.errors import HaroError, SettingsError, StreamError, StreamNotFound
from shared.hydrophones import Hydrophone
from shared.settings import Settings, load_settings

_GB = 10**9
_SILENT_AFTER_S = 180.0


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what was found, and what to do about it when it is not in order."""

    what: str
    ok: bool
    found: str
    to_do: str = ""


def doctor(
    hydrophones: Annotated[Path | None, typer.Option(help="File of hydrophones (TOML or JSON).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for database, clips and pictures.")] = None,
) -> None:
    """Check settings, model, data folder and every stream. Ends with 0 when all is in order, else 1."""
    console = Console()
    table = Table(title="Haro's health")
    for heading in ("what", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    findings = list(_examine(hydrophones, data))
    for finding in findings:
        mark = "[green]ok[/green]" if finding.ok else "[red]wrong[/red]"
        table.add_row(finding.what, mark, finding.found, finding.to_do)
    console.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _examine(hydrophones: Path | None, data: Path | None) -> Iterator[Finding]:
    try:
        settings = load_settings(hydrophones=hydrophones, data=data)
    except SettingsError as error:
        yield Finding("settings", ok=False, found=str(error), to_do="correct them; docs/settings.md lists all")
        return
    yield Finding("settings", ok=True, found="all valid")
    yield _model(settings)
    yield _disk(settings)
    try:
        with open_house(settings) as house:
            yield Finding("database", ok=True, found=str(settings.data / "haro.sqlite"))
            yield _dead_letters(house)
            yield _channels(house)
            with ThreadPoolExecutor(16) as pool:
                yield from pool.map(lambda hydrophone: _stream(house, hydrophone), house.hydrophones)
    except HaroError as error:
        yield Finding("station", ok=False, found=str(error), to_do="see the message")


def _model(settings: Settings) -> Finding:
    try:
        detector = load_detector(settings)
        front_end = detector.metadata.front_end
        shape = (1, front_end.n_mels, front_end.input_frames)
        score = float(detector.score(np.full(shape, -60.0, dtype=np.float32)).scores[0])
    except HaroError as error:
        return Finding("model", ok=False, found=str(error), to_do="unset HARO_MODEL, or name a model made for Haro")
    return Finding("model", ok=True, found=f"{detector.metadata.model_version}, silence scores {score:.2f}")


def _disk(settings: Settings) -> Finding:
    folder = settings.data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("data folder", ok=False, found=f"{folder}: {error}", to_do="choose another with HARO_DATA")
    if not os.access(folder, os.W_OK):
        return Finding("data folder", ok=False, found=f"{folder} is not writable", to_do="check its permissions")
    short = free < settings.min_free_gb * _GB
    to_do = "make room, or lower HARO_MIN_FREE_GB or HARO_KEEP_DAYS" if short else ""
    return Finding("data folder", ok=not short, found=f"{folder.resolve()}, {free / _GB:.1f} GB free", to_do=to_do)


def _dead_letters(house: House) -> Finding:
    storage = house.storage
    dead = storage.batches.stats().dead + storage.results.stats().dead
    to_do = "`haro dead-letters` says why; `haro dead-letters --replay` tries again" if dead else ""
    return Finding("dead letters", ok=not dead, found=str(dead), to_do=to_do)


def _channels(house: House) -> Finding:
    try:
        house.check_channels()
    except SettingsError as error:
        to_do = "correct its URL; docs/settings.md names the settings of channels"
        return Finding("notifications", ok=False, found=str(error), to_do=to_do)
    told = ", ".join(sorted({channel.audience for channel in house.channels}))
    found = f"{len(house.channels)} channels: {told}" if told else "nobody is told: HARO_MODERATOR_CHANNELS is not set"
    return Finding("notifications", ok=True, found=found)


def _stream(house: House, hydrophone: Hydrophone) -> Finding:
    what = f"stream {hydrophone.id}"
    try:
        epoch = house.streams.latest_epoch(hydrophone)
        playlist = house.streams.playlist(hydrophone, epoch)
    except StreamNotFound as error:
        to_do = "the node has not published, or the address in the list of hydrophones is wrong"
        return Finding(what, ok=False, found=str(error), to_do=to_do)
    except StreamError as error:
        return Finding(what, ok=False, found=str(error), to_do="check network and address; Haro keeps trying")
    if not playlist.segments:
        return Finding(what, ok=True, found=f"folder {epoch} has no segment yet")
    newest = playlist.segments[-1].end_utc
    behind_s = (datetime.now(UTC) - newest).total_seconds()
    found = f"newest audio {newest:%Y-%m-%d %H:%M:%S} UTC, {behind_s:.0f} s ago"
    silent = behind_s > _SILENT_AFTER_S
    to_do = "the node is silent: ask who keeps it (Haro listens on and needs nothing)" if silent else ""
    return Finding(what, ok=not silent, found=found, to_do=to_do)
