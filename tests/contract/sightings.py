"""Documents that the suites of document stores write and read."""

from __future__ import annotations

from typing import Any

from shared.storage.ports import Container, Json, Stored
from tests.contract.harness import SIGHTINGS, DocumentsHarness


def sighting(doc_id: str, **fields: object) -> Json:
    """A document of `SIGHTINGS`."""
    return {"id": doc_id, "site": "bush-point", **fields}


def read(store: DocumentsHarness, doc_id: str, container: Container = SIGHTINGS) -> Stored:
    """One that was written."""
    stored = store.documents.get(container, "bush-point", doc_id)
    assert stored is not None, f"{doc_id} was written"
    return stored


def query(store: DocumentsHarness, **arguments: Any) -> list[str]:
    """The ids that are found, in their order."""
    return [stored.body["id"] for stored in store.documents.query(SIGHTINGS, **arguments)]
