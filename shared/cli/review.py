"""`haro detections` and `haro review`: see what was found, and say what it was."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from shared.cli.station import existing_station
from shared.cli.summary import local_path, wide_console
from shared.documents import DETECTIONS
from shared.errors import HaroError
from shared.recording.detections import Verdict
from shared.settings import load_settings

_ID_SHOWN = 8  # mostly enough for `haro review`; the lines of pictures have all of it


class Found(StrEnum):
    """What a moderator may answer, in OrcaHello's words."""

    YES = "yes"
    NO = "no"
    DONT_KNOW = "don't know"


def detections(
    data: Annotated[Path | None, typer.Option(help="Folder of the station.")] = None,
    unreviewed: Annotated[bool, typer.Option("--unreviewed", help="Only those nobody has reviewed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the stored documents, one per line.")] = False,
) -> None:
    """List detections, newest last, and then their pictures."""
    with existing_station(load_settings(data=data)) as house:
        where = {"reviewed": False} if unreviewed else None
        found = house.storage.documents.query(DETECTIONS, where=where, order_by="timestamp")
    if as_json:
        for stored in found:
            typer.echo(json.dumps(stored.body))
        return
    table = Table(title=f"{len(found)} detections")
    for heading in ("id", "time (UTC)", "hydrophone", "confidence", "verdict"):
        table.add_column(heading, overflow="fold")
    for stored in found:
        body = stored.body
        table.add_row(
            body["id"][:_ID_SHOWN],
            str(body["timestamp"])[:19].replace("T", " "),
            body["location"]["name"],
            f"{body['whaleFoundConfidence']:.1f} %",
            body.get("SRKWFound", "-") if body["reviewed"] else "to review",
        )
    console = wide_console()
    console.print(table)
    for stored in found:  # a line each, whole, to be copied or searched
        console.print(stored.body["id"], local_path(stored.body["imageUri"]), soft_wrap=True)


def review(
    detection_id: Annotated[str, typer.Argument(help="The detection's id, or its first characters.")],
    found: Annotated[Found, typer.Argument(help="Was it a Southern Resident?")],
    moderator: Annotated[str, typer.Option(help="Who says so.")] = "local",
    comments: Annotated[str, typer.Option(help="What was heard.")] = "",
    tags: Annotated[str, typer.Option(help="Tags, separated by commas.")] = "",
    data: Annotated[Path | None, typer.Option(help="Folder of the station.")] = None,
) -> None:
    """Say what a detection was. A confirmed one is told to subscribers by the running Haro."""
    with existing_station(load_settings(data=data)) as house:
        matching = [
            stored.body
            for stored in house.storage.documents.query(DETECTIONS)
            if str(stored.body["id"]).startswith(detection_id)
        ]
        if len(matching) != 1:
            how_many = "no detection has" if not matching else f"{len(matching)} detections have"
            raise HaroError(f"{how_many} an id that starts with {detection_id!r}; `haro detections` lists them")
        (body,) = matching
        verdict = Verdict(found.value, moderator, comments, tuple(tags.split(",")) if tags else ())
        house.moderate(body["source_guid"], body["id"], verdict)
    typer.echo(f"{body['id']}: {found.value}")
