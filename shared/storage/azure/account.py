"""Everything a deployment keeps in Azure: Service Bus, Blob Storage and Cosmos DB, reached once per process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic

from azure.core.credentials import TokenCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.cosmos import CosmosClient, DatabaseProxy
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
    person who is logged in elsewhere. No service is asked anything yet. Raises SettingsError.
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
        database = _Database(partial(_cosmos, connections, credential), settings.cosmos_database, stack)
        queue = ServiceBusQueue(bus, QUEUE, max_deliveries=settings.max_deliveries)
        stack.callback(queue.close)
        yield Storage(
            batches=queue,
            results=None,  # the blob trigger tells of them
            documents=CosmosDocuments(database, CONTAINERS),
            blobs=AzureBlobs(blob_service, containers=BLOB_CONTAINERS),
            hosted=HostSettled(queue),
            take_over=_nothing,
            clean=_nothing,  # the account's lifecycle rules do that (infra/app)
        )


class _Database:
    """The database of a client that is made when it is first needed, and closed by `stack`.

    Cosmos DB's is the one client that asks its service something when it is made. Scoring needs no documents: a process
    that starts while they are away must score all the same.
    """

    def __init__(self, make_client: Callable[[], CosmosClient], name: str, stack: ExitStack) -> None:
        self._make_client = make_client
        self._name = name
        self._stack = stack
        self._lock = threading.Lock()
        self._client: CosmosClient | None = None
        self._failed: tuple[float, StorageError] | None = None

    def __call__(self) -> DatabaseProxy:
        """The database. Raises StorageError where nobody answers, or no identity is found.

        Threads that ask while one is at it share what that one finds: each of its tries may take a minute.
        """
        asked = monotonic()
        with self._lock:
            if self._client is None:
                if self._failed and self._failed[0] >= asked:
                    raise StorageError(str(self._failed[1]))
                try:
                    self._client = self._stack.enter_context(self._make_client())
                except StorageError as error:
                    self._failed = (monotonic(), error)
                    raise
            return self._client.get_database_client(self._name)


def _cosmos(connections: Connections, credential: TokenCredential) -> CosmosClient:
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
