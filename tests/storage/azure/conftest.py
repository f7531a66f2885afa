"""What the tests of storage in Azure share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.contract.azure_documents import azure_documents
from tests.storage.azure.cosmos_store import CLIPS, OTHERS, SESSIONS, CosmosStore

if TYPE_CHECKING:
    from tests.contract.azure_queue import AzureQueue


@pytest.fixture
def bus(service_bus: AzureQueue) -> Iterator[AzureQueue]:
    """The Service Bus queue on the emulator, empty; what a test leaves to the collector is collected in it."""
    service_bus.empty()
    yield service_bus
    gc.collect()


@pytest.fixture
def store() -> Iterator[CosmosStore]:
    """An empty store."""
    with azure_documents(CLIPS, OTHERS, SESSIONS) as (documents, advance, emulator):
        yield CosmosStore(documents, emulator, advance)
