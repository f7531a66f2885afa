"""The Cosmos DB adapter as the contract suites meet it: over the emulator, whose clock `advance` moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from azure.cosmos import CosmosClient

from shared.storage.azure.cosmos import CLIENT_OPTIONS, CosmosDocuments
from shared.storage.azure.indexing import ensure_containers
from shared.storage.ports import Container
from tests.clock import FakeClock
from tests.emulators.cosmos import CosmosEmulator


@contextmanager
def azure_documents(
    *containers: Container, page_items: int = 100
) -> Iterator[tuple[CosmosDocuments, Callable[[float], None], CosmosEmulator]]:
    """An empty store with these containers, a way to let time pass, and the emulator behind it."""
    clock = FakeClock()
    with (
        CosmosEmulator(clock=clock) as emulator,
        CosmosClient(emulator.endpoint, emulator.key, **CLIENT_OPTIONS) as client,
    ):
        database = client.create_database("predictions")
        ensure_containers(database, containers)
        yield CosmosDocuments(lambda: database, containers, page_items=page_items), clock.advance, emulator
