"""An account on the Cosmos DB emulator, as its tests share it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey

from tests.clock import FakeClock
from tests.emulators.cosmos import CosmosEmulator
from tests.emulators.items import SOME


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def emulator(clock: FakeClock) -> Iterator[CosmosEmulator]:
    """An empty account."""
    with CosmosEmulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def client(emulator: CosmosEmulator) -> Iterator[CosmosClient]:
    """The SDK's client, by the connection string."""
    with CosmosClient.from_connection_string(emulator.connection_string) as client:
        yield client


@pytest.fixture
def database(client: CosmosClient) -> DatabaseProxy:
    """A database."""
    return client.create_database("predictions")


@pytest.fixture
def container(database: DatabaseProxy) -> ContainerProxy:
    """A container with some paths indexed."""
    return database.create_container("things", partition_key=PartitionKey("/site"), indexing_policy=SOME)
