"""Both adapters of each port, empty, for one test: local ones on a clock set by hand, Azure's on loopback emulators.

Each is given the test's request, by which it asks for the folder or the emulator that it stands on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from shared.storage.ports import BlobStore, Container, DocumentStore, MessageQueue
from tests.clock import FakeClock
from tests.contract.azure_blobs import azure_blobs
from tests.contract.azure_documents import azure_documents

if TYPE_CHECKING:
    import pytest

    from tests.contract.azure_queue import AzureQueue

SIGHTINGS = Container("sightings", partition_key="site", indexed=("start_utc", "state"))
SHORT_LIVED = Container("short_lived", partition_key="site", ttl_s=3)
CHANGES_AT_ONCE = 3


@dataclass(frozen=True)
class QueueHarness:
    """An empty queue of at least 3 deliveries, the times it was set up with, and a way to let time pass.

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


@contextmanager
def sqlite_queue(request: pytest.FixtureRequest) -> Iterator[QueueHarness]:
    """A queue in a database of the test's own."""
    clock = FakeClock()
    with Database(request.getfixturevalue("tmp_path") / "haro.sqlite") as database:
        queue = SqliteQueue(database, "contract", lock_s=60, max_deliveries=3, duplicate_window_s=3600, now=clock)
        yield QueueHarness(queue, 60, 3, 3600, 0.0, clock.advance)


@contextmanager
def service_bus_queue(request: pytest.FixtureRequest) -> Iterator[QueueHarness]:
    """The queue that all tests share."""
    bus: AzureQueue = request.getfixturevalue("service_bus")
    bus.empty()
    yield QueueHarness(bus.queue, bus.lock_s, bus.max_deliveries, bus.duplicate_window_s, 0.002, bus.clock.advance)


@contextmanager
def folder_blobs(request: pytest.FixtureRequest) -> Iterator[BlobStore]:
    """Blobs in a folder of the test's own."""
    yield FolderBlobs(request.getfixturevalue("tmp_path") / "blobs", min_free_bytes=0)


@contextmanager
def azurite_blobs(request: pytest.FixtureRequest) -> Iterator[BlobStore]:
    """Blobs in the account that all tests share."""
    with azure_blobs(request.getfixturevalue("azurite")) as store:
        yield store


@contextmanager
def sqlite_documents(request: pytest.FixtureRequest) -> Iterator[DocumentsHarness]:
    """Documents in a database of the test's own."""
    clock = FakeClock()
    with Database(request.getfixturevalue("tmp_path") / "haro.sqlite") as database:
        documents = SqliteDocuments(database, (SIGHTINGS, SHORT_LIVED), now=clock, page_items=CHANGES_AT_ONCE)
        yield DocumentsHarness(documents, clock.advance)


@contextmanager
def cosmos_documents(_: pytest.FixtureRequest) -> Iterator[DocumentsHarness]:
    """Documents in an emulator of the test's own."""
    with azure_documents(SIGHTINGS, SHORT_LIVED, page_items=CHANGES_AT_ONCE) as (documents, advance, _emulator):
        yield DocumentsHarness(documents, advance)
