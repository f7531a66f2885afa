"""The adapters that the contract suites run over. To put another one through them, add it to its port's fixture.

No test looks behind the ports.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared.storage.ports import BlobStore
from tests.contract.harness import (
    DocumentsHarness,
    QueueHarness,
    azurite_blobs,
    cosmos_documents,
    folder_blobs,
    service_bus_queue,
    sqlite_documents,
    sqlite_queue,
)

ADAPTERS = ("local", "azure")


@pytest.fixture(params=[sqlite_queue, service_bus_queue], ids=ADAPTERS)
def harness(request: pytest.FixtureRequest) -> Iterator[QueueHarness]:
    """An empty queue and its time."""
    with request.param(request) as harness:
        yield harness


@pytest.fixture(params=[folder_blobs, azurite_blobs], ids=ADAPTERS)
def blobs(request: pytest.FixtureRequest) -> Iterator[BlobStore]:
    """An empty blob store with the containers `clips` and `results`, and room for some megabytes."""
    with request.param(request) as store:
        yield store


@pytest.fixture(params=[sqlite_documents, cosmos_documents], ids=ADAPTERS)
def store(request: pytest.FixtureRequest) -> Iterator[DocumentsHarness]:
    """An empty document store and its time."""
    with request.param(request) as harness:
        yield harness
