"""Blob Storage, on its emulator, for the contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.storage.blob import BlobServiceClient

from shared.documents import BLOB_CONTAINERS
from shared.storage.azure.blobs import CLIENT_OPTIONS, AzureBlobs, ensure_containers
from tests.emulators.azurite import Azurite


@contextmanager
def empty_service(azurite: Azurite, **options: Any) -> Iterator[BlobServiceClient]:
    """A client of the emulator, made as Haro makes it but for `options`, with Haro's containers, empty.

    They are deleted afterwards; in the emulator they are gone at once.
    """
    client = BlobServiceClient.from_connection_string(azurite.connection_string, **{**CLIENT_OPTIONS, **options})
    with client as service:
        ensure_containers(service, BLOB_CONTAINERS)
        try:
            yield service
        finally:
            for container in list(service.list_containers()):
                service.delete_container(container.name)


@contextmanager
def azure_blobs(azurite: Azurite) -> Iterator[AzureBlobs]:
    """An empty store."""
    with empty_service(azurite) as service:
        yield AzureBlobs(service, containers=BLOB_CONTAINERS)
