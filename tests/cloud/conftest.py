"""The services on loopback, the app on them, and what a run leaves there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.bootstrap import open_house
from shared.demo.node import Node
from shared.documents import BLOB_CONTAINERS, CONTAINERS
from shared.settings import load_settings
from tests.cloud.platform import Platform, SkippingClock, platform
from tests.cloud.tripwire import Tripwire, proxied
from tests.conftest import ROOT
from tests.emulators.account import QUEUE, QUEUE_SETTINGS, prepare
from tests.emulators.azurite import missing, run_azurite
from tests.emulators.cosmos import CosmosEmulator
from tests.emulators.servicebus import ServiceBusEmulator
from tests.engine.conftest import engine_python
from tests.engine.host import FunctionHost
from tests.pipeline import Leftovers, hydrophones_file

__all__ = ["engine_python"]

SETTINGS = {
    "HARO_STORAGE": "azure",
    "HARO_BLOB_SOURCE": "polling",
    "HARO_POLL_SCHEDULE": "*/20 * * * * *",
    "HARO_DEADLETTER_SCHEDULE": "0 */5 * * * *",
    "HARO_RECONCILE_SCHEDULE": "30 */10 * * * *",
    "HARO_STALL_S": "1",
    "HARO_BOUT_UPDATE_S": "0",
    "HARO_MAX_DELIVERIES": "50",
}


@dataclass(frozen=True)
class Cloud:
    """The services, empty at first, and the settings that lead to them.

    Attributes:
        service_bus: its queue tells time by `clock`.
        cosmos: where the documents are.
        wire: what the app's requests to Blob Storage and Cosmos DB go over.
        connections: the app's, over the wire.
        direct: a test's own, past the wire.
    """

    service_bus: ServiceBusEmulator
    cosmos: CosmosEmulator
    clock: SkippingClock
    wire: Tripwire
    connections: dict[str, str]
    direct: dict[str, str]

    @contextmanager
    def running(self, python: Path, folder: Path, node: Node, people_port: int, **others: str) -> Iterator[Platform]:
        """The app at work on one hydrophone's stream, telling moderators at a port; other settings may be given."""
        settings = {
            **SETTINGS,
            **self.connections,
            "HARO_HYDROPHONES": str(hydrophones_file(folder, [node])),
            "HARO_MODERATOR_CHANNELS": f"json://127.0.0.1:{people_port}/hook",
            **others,
        }
        with (
            FunctionHost(python, ROOT, settings) as host,
            platform(host, self.service_bus, self.clock, self.connections["AzureWebJobsStorage"]) as running,
        ):
            self.wire.spring = host.kill
            yield running

    def leftovers(self, monkeypatch: pytest.MonkeyPatch) -> Leftovers:
        """All documents and blobs; addresses in them are made comparable with a station's."""
        for name, value in self.connections.items():
            monkeypatch.setenv(name, value)
        with open_house(load_settings(storage="azure"), hydrophones=[]) as house:
            root = house.storage.blobs.uri("clips/x").removesuffix("/clips/x")

            def placeless(body: dict[str, Any]) -> dict[str, Any]:
                placed: dict[str, Any] = json.loads(json.dumps(body).replace(root, "file:///station"))
                return placed

            documents = {
                container.name: [placeless(stored.body) for stored in house.storage.documents.query(container)]
                for container in CONTAINERS
            }
            names = [blob.name for name in BLOB_CONTAINERS for blob in house.storage.blobs.list(f"{name}/")]
            return Leftovers(documents, {name: house.storage.blobs.get(name) for name in names})


@pytest.fixture
def new_cloud() -> Iterator[Callable[[], Cloud]]:
    """Makes clouds, each with services of its own."""
    if reason := missing():
        pytest.skip(reason)
    with ExitStack() as stack:

        def make() -> Cloud:
            clock, wire = SkippingClock(), Tripwire()
            azurite = stack.enter_context(run_azurite())
            service_bus = stack.enter_context(ServiceBusEmulator({QUEUE: QUEUE_SETTINGS}, clock=clock))
            cosmos = stack.enter_context(CosmosEmulator())
            direct = {
                "AzureWebJobsStorage": azurite.connection_string,
                "ServiceBusConnection": service_bus.connection_string,
                "CosmosConnection": cosmos.connection_string,
            }
            prepare(direct)
            blob_url = stack.enter_context(proxied(azurite.blob_url, wire))
            cosmos_url = stack.enter_context(proxied(cosmos.endpoint, wire))
            connections = direct | {
                "AzureWebJobsStorage": azurite.connection_string.replace(azurite.blob_url, blob_url),
                "CosmosConnection": cosmos.connection_string.replace(cosmos.endpoint, cosmos_url),
            }
            return Cloud(service_bus, cosmos, clock, wire, connections, direct)

        yield make


@pytest.fixture
def cloud(new_cloud: Callable[[], Cloud]) -> Cloud:
    """One cloud."""
    return new_cloud()
