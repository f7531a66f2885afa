"""A whole station for tests: streams on loopback, the command `haro run` on them, and what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from shared.cli import main
from shared.demo.day import DayPlan, PlannedCall, PlannedFolder, render
from shared.demo.encoder import EncodedSegment, encode_segments
from shared.demo.node import Node, SegmentFault
from shared.demo.station import Station
from shared.documents import CLIPS, CONTAINERS, DETECTIONS, GAPS, OUTBOX, ClipResult
from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from tests.clock import FakeClock

EPOCHS = (1_773_990_017, 1_773_990_217)
SEGMENTS = (15, 8)
FAULTS: Mapping[tuple[int, int], SegmentFault] = {(0, 4): "missing", (0, 8): "corrupt"}


@cache
def encoded_folders() -> tuple[tuple[EncodedSegment, ...], ...]:
    """Two folders of sea with loud calls in the first and the last minute, encoded once per session."""
    calls = tuple(
        PlannedCall(at_s, kind, 20.0, 0.3) for at_s, kind in ((5, "s1"), (11, "s16"), (17, "s19"), (24, "s7"))
    )
    folders = tuple(
        PlannedFolder(epoch, count * 10.0 - 0.5, calls=calls) for epoch, count in zip(EPOCHS, SEGMENTS, strict=True)
    )
    plan = DayPlan("test_node", seed=7, folders=folders)
    return tuple(tuple(encode_segments(render(plan, folder))) for folder in folders)


def publish_synthetic(station: Station, name: str) -> Node:
    """Publish both folders whole: a restart between them, a missing and a corrupt segment in the first."""
    node = Node(station, name)
    for number, (epoch, segments) in enumerate(zip(EPOCHS, encoded_folders(), strict=True)):
        node.start_folder(epoch)
        for segment in segments:
            node.add(segment, fault=FAULTS.get((number, segment.index)))
    node.end()
    return node


def hydrophones_file(folder: Path, nodes: Sequence[Node]) -> Path:
    """A file for `haro run --hydrophones`."""
    path = folder / "hydrophones.json"
    path.write_text(
        json.dumps([{"id": node.name, "name": node.name.title(), "stream_url": node.url} for node in nodes])
    )
    return path


def haro(*arguments: str | Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HARO_")}
    return subprocess.Popen(
        [sys.executable, "-c", "from shared.cli import main; main()", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**clean, **(env or {})},
    )


def run_haro(*arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """Run the command line to its end in this process, as a shell would see it: exit code, output, error output."""
    out, err = StringIO(), StringIO()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HARO_")}
    with (
        mock.patch.dict(os.environ, {**clean, **(env or {})}, clear=True),
        mock.patch.object(sys, "argv", ["haro", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return code, out.getvalue(), err.getvalue()


@dataclass(frozen=True)
class Leftovers:
    """What a station holds after a run."""

    documents: dict[str, list[dict[str, Any]]]
    blobs: dict[str, bytes]

    @property
    def results(self) -> list[ClipResult]:
        """Every result."""
        return [ClipResult.parse(data, source=name) for name, data in self.blobs.items() if name.startswith("results/")]

    def accounted(self) -> Counter[tuple[str, int, int]]:
        """(hydrophone, epoch, index) of every segment, once for each result with it and each gap that names it."""
        seen: Counter[tuple[str, int, int]] = Counter()
        for result in self.results:
            where = result.provenance
            seen.update((result.hydrophone_id, where.epoch, index) for index in where.segment_indices)
        for gap in self.documents[GAPS.name]:
            if gap["first_index"] is not None:
                indices = range(gap["first_index"], gap["last_index"] + 1)
                seen.update((gap["hydrophone_id"], gap["epoch"], index) for index in indices)
        return seen

    def lasting(self) -> dict[str, Any]:
        """All that must not depend on when and how often the work was interrupted."""
        outbox = sorted(
            (entry["channel_id"], entry["detection_id"], entry["state"])
            for entry in self.documents[OUTBOX.name]
            if "detection_id" in entry  # leases and the bookmark are no entries
        )
        blobs: dict[str, Any] = dict(self.blobs)
        for name, data in self.blobs.items():
            if name.startswith("results/"):
                blobs[name] = {key: value for key, value in json.loads(data).items() if key != "timings_s"}
        kept = {name: self.documents[name] for name in (CLIPS.name, GAPS.name, DETECTIONS.name)}
        return {"documents": kept, "outbox": outbox, "blobs": blobs}


def leftovers(data: Path) -> Leftovers:
    """Read a station's folder; addresses in it that name the folder itself are made comparable."""
    clock = FakeClock()
    with Database(data / "haro.sqlite") as database:
        documents = SqliteDocuments(database, CONTAINERS, now=clock)
        found = {
            container.name: [_placeless(stored.body, data) for stored in documents.query(container)]
            for container in CONTAINERS
        }
    blobs = FolderBlobs(data, min_free_bytes=0)
    names = [blob.name for container in ("clips/", "detections/", "results/") for blob in blobs.list(container)]
    return Leftovers(found, {name: blobs.get(name) for name in names})


def _placeless(body: dict[str, Any], data: Path) -> dict[str, Any]:
    text = json.dumps(body).replace(data.resolve().as_uri(), "file:///station")
    placed: dict[str, Any] = json.loads(text)
    return placed


def published(node_name: str) -> Iterator[tuple[str, int, int]]:
    """(hydrophone, epoch, index) of every segment of the synthetic stream."""
    for epoch, segments in zip(EPOCHS, encoded_folders(), strict=True):
        yield from ((node_name, epoch, segment.index) for segment in segments)
