"""A store on the Cosmos DB emulator, with containers and documents of the tests' own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.storage.azure.cosmos import CosmosDocuments
from shared.storage.ports import Container, Json
from tests.emulators.cosmos import CosmosEmulator

CLIPS = Container("clips", partition_key="site", indexed=("start_utc", "state"))
OTHERS = Container("others", partition_key="site")
SESSIONS = Container("sessions", partition_key="site", ttl_s=60)


@dataclass(frozen=True)
class CosmosStore:
    """The store, the emulator behind it and its time."""

    documents: CosmosDocuments
    emulator: CosmosEmulator
    advance: Callable[[float], None]

    def asked(self) -> list[str]:
        """The methods of the requests for documents so far, from now on forgotten."""
        asked = [request.method for request in self.emulator.requests if request.is_for_documents]
        self.emulator.requests.clear()
        return asked


def clip(doc_id: str, **fields: object) -> Json:
    """A document of `CLIPS`."""
    return {"id": doc_id, "site": "bush-point", **fields}


def etag_of(store: CosmosStore, doc_id: str) -> str:
    """The etag as it is read."""
    stored = store.documents.get(CLIPS, "bush-point", doc_id)
    assert stored is not None
    return stored.etag
