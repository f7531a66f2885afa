"""All of Haro's services in Azure on loopback: Blob Storage by Azurite, Service Bus and Cosmos DB by our own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from azure.cosmos import CosmosClient
from azure.storage.blob import BlobServiceClient

from shared.documents import BLOB_CONTAINERS, CONTAINERS
from shared.storage.azure import blobs, cosmos, indexing
from tests.emulators.azurite import run_azurite
from tests.emulators.cosmos import CosmosEmulator
from tests.emulators.servicebus import QueueSettings, ServiceBusEmulator

QUEUE = "segment-batches"
DATABASE = "predictions"
QUEUE_SETTINGS = QueueSettings(lock_s=300, max_deliveries=5, duplicate_window_s=7 * 86400)
"""As infra/app/servicebus.bicep sets the queue up."""


@dataclass(frozen=True)
class Ports:
    """Where the services listen; 0 is any free port. These are where Microsoft's emulators listen too."""

    blob: int = 10000
    queue: int = 10001
    table: int = 10002
    service_bus: int = 5672
    cosmos: int = 8081


@contextmanager
def run_account(ports: Ports) -> Iterator[dict[str, str]]:
    """The services with Haro's queue, blob containers and database, empty; ended on exit.

    Yields:
        The app settings that lead to them, by name.
    """
    with (
        run_azurite(blob_port=ports.blob, queue_port=ports.queue, table_port=ports.table) as azurite,
        ServiceBusEmulator({QUEUE: QUEUE_SETTINGS}, port=ports.service_bus) as service_bus,
        CosmosEmulator(port=ports.cosmos) as documents,
    ):
        settings = {
            "AzureWebJobsStorage": azurite.connection_string,
            "ServiceBusConnection": service_bus.connection_string,
            "CosmosConnection": documents.connection_string,
        }
        prepare(settings)
        yield settings


def prepare(settings: Mapping[str, str]) -> None:
    """Make the blob containers and the database that the settings lead to, as far as they are not there yet."""
    storage = BlobServiceClient.from_connection_string(settings["AzureWebJobsStorage"], **blobs.CLIENT_OPTIONS)
    with storage as service:
        blobs.ensure_containers(service, BLOB_CONTAINERS)
    documents = CosmosClient.from_connection_string(settings["CosmosConnection"], **cosmos.CLIENT_OPTIONS)
    with documents as client:
        indexing.ensure_containers(client.create_database_if_not_exists(DATABASE), CONTAINERS)
