"""The adapters that the contract suites run over.

To put another one through them: write a class like `Local` (for a remote service `advance` really waits, with short
times in the harness) and add it to `ADAPTERS`. No test looks behind the ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from shared.storage.ports import BlobStore, Container, DocumentStore, MessageQueue
from tests.clock import FakeClock

SIGHTINGS = Container("sightings", partition_key="site", indexed=("start_utc", "state"))
SHORT_LIVED = Container("short_lived", partition_key="site", ttl_s=3)


@dataclass(frozen=True)
class QueueHarness:
    """An empty queue, the times it was set up with, and a way to let time pass.

    `clock_tolerance_s` is how far ages may be off where the clock is not ours.
    """

    queue: MessageQueue
    lock_s: float
    max_deliveries: int
    duplicate_window_s: float
    clock_tolerance_s: float
    advance: Callable[[float], None]


@dataclass(frozen=True)
class DocumentsHarness:
    """An empty store with the containers `SIGHTINGS` and `SHORT_LIVED`, and a way to let time pass."""

    documents: DocumentStore
    advance: Callable[[float], None]


class Adapter(Protocol):
    """Makes each port, empty, for one test; `folder` is an empty folder of the test's own."""

    def queue(self, folder: Path) -> AbstractContextManager[QueueHarness]:
        """A queue of at least 3 deliveries."""
        ...

    def blobs(self, folder: Path) -> AbstractContextManager[BlobStore]:
        """A blob store with the containers `clips` and `results`, and room for some megabytes."""
        ...

    def documents(self, folder: Path) -> AbstractContextManager[DocumentsHarness]:
        """A document store."""
        ...


class Local:
    """SQLite and a folder."""

    @contextmanager
    def queue(self, folder: Path) -> Iterator[QueueHarness]:
        """See `Adapter`."""
        clock = FakeClock()
        with Database(folder / "haro.sqlite") as database:
            queue = SqliteQueue(database, "contract", lock_s=60, max_deliveries=3, duplicate_window_s=3600, now=clock)
            yield QueueHarness(queue, 60, 3, 3600, 0.0, clock.advance)

    @contextmanager
    def blobs(self, folder: Path) -> Iterator[BlobStore]:
        """See `Adapter`."""
        yield FolderBlobs(folder / "blobs", min_free_bytes=0)

    @contextmanager
    def documents(self, folder: Path) -> Iterator[DocumentsHarness]:
        """See `Adapter`."""
        clock = FakeClock()
        with Database(folder / "haro.sqlite") as database:
            yield DocumentsHarness(SqliteDocuments(database, (SIGHTINGS, SHORT_LIVED), now=clock), clock.advance)


ADAPTERS: dict[str, Adapter] = {"local": Local()}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Every adapter in turn."""
    return ADAPTERS[request.param]


@pytest.fixture
def harness(adapter: Adapter, tmp_path: Path) -> Iterator[QueueHarness]:
    """An empty queue and its time."""
    with adapter.queue(tmp_path) as harness:
        yield harness


@pytest.fixture
def blobs(adapter: Adapter, tmp_path: Path) -> Iterator[BlobStore]:
    """An empty blob store."""
    with adapter.blobs(tmp_path) as blobs:
        yield blobs


@pytest.fixture
def store(adapter: Adapter, tmp_path: Path) -> Iterator[DocumentsHarness]:
    """An empty document store and its time."""
    with adapter.documents(tmp_path) as harness:
        yield harness
