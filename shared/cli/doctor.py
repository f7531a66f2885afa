"""`haro doctor`: is everything in order, and if not, what is to be done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from shared.bootstrap import open_house
from shared.checks import (
    Finding,
    check_channels,
    check_containers,
    check_dead_letters,
    check_hearing,
    check_model,
    check_storage,
    check_stream,
)
from shared.cli.deployment import check_app, read_outputs, variables
from shared.cli.summary import wide_console
from shared.errors import HaroError, SettingsError
from shared.settings import Settings, load_settings

_GB = 10**9


def doctor(
    hydrophones: Annotated[Path | None, typer.Option(help="File of hydrophones (TOML or JSON).")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder for database, clips and pictures.")] = None,
    azure: Annotated[bool, typer.Option("--azure", help="Check the deployment that azd made from here.")] = False,
    environment: Annotated[str | None, typer.Option(help="Its azd environment, if not the default one.")] = None,
) -> None:
    """Check settings, model, storage and every stream. Ends with 0 when all is in order, else 1."""
    console = wide_console()
    table = Table(title="Haro's health")
    for heading in ("what", "", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    findings = list(_examine(hydrophones, data, _outputs(environment) if azure else None))
    for finding in findings:
        mark = Text("ok", "green") if finding.ok else Text("wrong", "red")
        table.add_row(finding.what, mark, finding.found, finding.to_do)
    console.print(table)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _outputs(environment: str | None) -> dict[str, str]:
    """Where the deployment is; from here on this process works on its storage."""
    outputs = read_outputs(environment)
    os.environ |= variables(outputs)
    return outputs


def _examine(hydrophones: Path | None, data: Path | None, deployed: dict[str, str] | None) -> Iterator[Finding]:
    try:
        settings = load_settings(hydrophones=hydrophones, data=data)
    except SettingsError as error:
        yield Finding("settings", ok=False, found=str(error), to_do="correct them; docs/settings.md lists all")
        return
    yield Finding("settings", ok=True, found="all valid")
    if settings.storage == "local":
        yield _disk(settings)
    if deployed is not None:
        yield from check_app(deployed)
    try:
        with open_house(settings) as house:
            yield from check_storage(house)
            yield from check_containers(house)
            yield check_dead_letters(house)
            if deployed is None:  # the app has its own model and channels, which /api/health/ready looks at
                yield check_model(house)
                yield check_channels(house)
            with ThreadPoolExecutor(16) as pool:
                yield from pool.map(partial(check_stream, house), house.hydrophones)
                yield from filter(None, pool.map(partial(check_hearing, house), house.hydrophones))
    except HaroError as error:
        yield Finding("station", ok=False, found=str(error), to_do="see the message")


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
