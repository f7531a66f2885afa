"""Everything a deployment keeps in Azure: Service Bus, Blob Storage and Cosmos DB, reached once per process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos import CosmosClient
from azure.identity import DefaultAzureCredential
from azure.servicebus import ServiceBusClient
from azure.storage.blob import BlobServiceClient

from shared.connections import Connections, load_connections
from shared.documents import BLOB_CONTAINERS, CONTAINERS
from shared.errors import StorageError
from shared.settings import Settings
from shared.storage.azure import blobs, cosmos, servicebus
from shared.storage.azure.blobs import AzureBlobs
from shared.storage.azure.cosmos import CosmosDocuments
from shared.storage.azure.hosted import HostSettled
from shared.storage.azure.servicebus import ServiceBusQueue
from shared.storage.ports import Storage

QUEUE = "segment-batches"


@contextmanager
def open_account(settings: Settings) -> Iterator[Storage]:
    """The storage that the environment's connections lead to; every client is made here, once, and closed at the end.

    Real services are shown the identity that `DefaultAzureCredential` finds: the app's own in Azure, that of the
    person who is logged in elsewhere. Raises SettingsError; StorageError where
    nobody answers, or no identity is found.
    """
    connections = load_connections()
    with ExitStack() as stack:
        credential = stack.enter_context(DefaultAzureCredential())
        bus = stack.enter_context(
            ServiceBusClient(connections.service_bus_namespace, credential, **servicebus.CLIENT_OPTIONS)
            if connections.service_bus_namespace
            else ServiceBusClient.from_connection_string(
                connections.service_bus.get_secret_value(), **servicebus.CLIENT_OPTIONS
            )
        )
        blob_service = stack.enter_context(
            BlobServiceClient(connections.blob_service_uri, credential, **blobs.CLIENT_OPTIONS)
            if connections.blob_service_uri
            else BlobServiceClient.from_connection_string(
                connections.storage.get_secret_value(), **blobs.CLIENT_OPTIONS
            )
        )
        documents = stack.enter_context(_cosmos(connections, credential))
        queue = ServiceBusQueue(bus, QUEUE, max_deliveries=settings.max_deliveries)
        stack.callback(queue.close)
        yield Storage(
            batches=queue,
            results=None,  # the blob trigger tells of them
            documents=CosmosDocuments(documents.get_database_client(settings.cosmos_database), CONTAINERS),
            blobs=AzureBlobs(blob_service, containers=BLOB_CONTAINERS),
            hosted=HostSettled(queue),
            take_over=_nothing,
            clean=_nothing,  # time to live and the account's lifecycle rules do that (infra/app)
        )


def _cosmos(connections: Connections, credential: TokenCredential) -> CosmosClient:
    """The one client that asks its service something when it is made."""
    options = {"transport": cosmos.transport(), **cosmos.CLIENT_OPTIONS}
    try:
        if connections.cosmos_endpoint:
            return CosmosClient(connections.cosmos_endpoint, credential, **options)
        return CosmosClient.from_connection_string(connections.cosmos.get_secret_value(), **options)
    except ClientAuthenticationError as error:
        raise StorageError(
            "no identity that Azure takes was found: log in with `az login` or `azd auth login`; "
            "an app in Azure names its own by AZURE_CLIENT_ID"
        ) from error
    except AzureError as error:
        where = connections.cosmos_endpoint or "the emulator"
        raise StorageError(
            f"Cosmos DB at {where} does not answer ({type(error).__name__}): is the address right?"
        ) from error


def _nothing() -> None:
    """Nothing is to be done here."""
