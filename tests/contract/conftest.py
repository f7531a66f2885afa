"""The adapters that the contract suites run over: local ones on a clock set by hand, Azure's on loopback emulators.

To put another one through them, give it a harness in the fixture of its port below. No test looks behind the ports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from shared.storage.ports import BlobStore, Container, DocumentStore, MessageQueue
from tests.clock import FakeClock
from tests.contract.azure_blobs import azure_blobs
from tests.contract.azure_documents import azure_documents

if TYPE_CHECKING:
    from tests.contract.azure_queue import AzureQueue

SIGHTINGS = Container("sightings", partition_key="site", indexed=("start_utc", "state"))
SHORT_LIVED = Container("short_lived", partition_key="site", ttl_s=3)
CHANGES_AT_ONCE = 3


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
    """An empty store with the containers `SIGHTINGS` and `SHORT_LIVED`, and a way to let time pass.

    Changes come in parts of `CHANGES_AT_ONCE` documents, or a few such parts at once.
    """

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
            documents = SqliteDocuments(database, (SIGHTINGS, SHORT_LIVED), now=clock, page_items=CHANGES_AT_ONCE)
            yield DocumentsHarness(documents, clock.advance)


ADAPTERS: dict[str, Adapter] = {"local": Local()}


@pytest.fixture(params=[*ADAPTERS, "azure"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueueHarness]:
    """An empty queue and its time."""
    if request.param == "azure":
        bus: AzureQueue = request.getfixturevalue("service_bus")
        bus.empty()
        yield QueueHarness(bus.queue, bus.lock_s, bus.max_deliveries, bus.duplicate_window_s, 0.002, bus.clock.advance)
    else:
        with ADAPTERS[request.param].queue(tmp_path) as harness:
            yield harness


@pytest.fixture(params=[*ADAPTERS, "azure"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    """An empty blob store."""
    if request.param == "azure":
        with azure_blobs(request.getfixturevalue("azurite")) as store:
            yield store
    else:
        with ADAPTERS[request.param].blobs(tmp_path) as store:
            yield store


@pytest.fixture(params=[*ADAPTERS, "azure"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DocumentsHarness]:
    """An empty document store and its time."""
    if request.param == "azure":
        with azure_documents(SIGHTINGS, SHORT_LIVED, page_items=CHANGES_AT_ONCE) as (documents, advance, _):
            yield DocumentsHarness(documents, advance)
    else:
        with ADAPTERS[request.param].documents(tmp_path) as harness:
            yield harness
