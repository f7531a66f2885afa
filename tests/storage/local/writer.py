"""Programs that the tests start as processes of their own, to kill them or to let them compete.

`python -m tests.storage.local.writer PROGRAM FOLDER` says each thing done on a line of its own, once it is committed.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from shared.storage.ports import Container, Message

COUNTS = Container("counts", partition_key="site", indexed=("n",))
BLOB_BYTES = 200_000


def open_queue(database: Database, *, lock_s: float = 600) -> SqliteQueue:
    """The queue that all programs use."""
    return SqliteQueue(
        database, "work", lock_s=lock_s, max_deliveries=3, duplicate_window_s=600, now=lambda: datetime.now(UTC)
    )


def open_documents(database: Database) -> SqliteDocuments:
    """The documents that all programs use."""
    return SqliteDocuments(database, [COUNTS], now=lambda: datetime.now(UTC))


def blob_bytes(n: int) -> bytes:
    """What blob n holds: one byte, over and over, so that a torn blob shows."""
    return bytes([n % 256]) * BLOB_BYTES


def _say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def write_rows(folder: Path) -> None:
    """For ever: send two messages at once, then count in a document."""
    with Database(folder / "haro.sqlite") as database:
        queue, documents = open_queue(database), open_documents(database)
        documents.create(COUNTS, {"id": "count", "site": "x", "n": -1})
        for n in itertools.count():
            queue.send([Message(f"{n}-first", "{}"), Message(f"{n}-second", "{}")])
            stored = documents.get(COUNTS, "x", "count")
            assert stored is not None
            documents.replace(COUNTS, {**stored.body, "n": n}, etag=stored.etag)
            _say(n)


def write_blobs(folder: Path) -> None:
    """For ever: write a new blob, and write over another."""
    blobs = FolderBlobs(folder / "blobs", min_free_bytes=0)
    for n in itertools.count():
        blobs.put(f"results/many/{n}", blob_bytes(n), overwrite=False)
        blobs.put("results/one", blob_bytes(n))
        _say(n)


def drain(folder: Path) -> None:
    """Complete every message there is."""
    with Database(folder / "haro.sqlite") as database:
        queue = open_queue(database)
        while (delivery := queue.receive()) is not None:
            queue.complete(delivery)
            _say(delivery.message.id)


def hold(folder: Path) -> None:
    """Receive one message and never settle it."""
    with Database(folder / "haro.sqlite") as database:
        delivery = open_queue(database).receive()
        _say(delivery.message.id if delivery else None)
        sys.stdin.read()


PROGRAMS: dict[str, Callable[[Path], None]] = {
    program.__name__: program for program in (write_rows, write_blobs, drain, hold)
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](Path(sys.argv[2]))
