"""Documents in a container, written and asked for by the SDK as it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.cosmos import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosHttpResponseError,
)

Policy = dict[str, Any]
EVERYTHING: Policy = {"indexingMode": "consistent", "includedPaths": [{"path": "/*"}], "excludedPaths": []}
SOME: Policy = {
    "indexingMode": "consistent",
    "includedPaths": [{"path": "/site/?"}, {"path": "/n/?"}, {"path": "/name/?"}],
    "excludedPaths": [{"path": "/*"}],
    "compositeIndexes": [[{"path": "/n", "order": "ascending"}, {"path": "/name", "order": "descending"}]],
}


def put(container: ContainerProxy, doc_id: str, site: str = "x", **fields: object) -> dict[str, Any]:
    """Create a document."""
    return dict(container.create_item({"id": doc_id, "site": site, **fields}))


def status_of(call: Callable[[], object]) -> tuple[int | None, int]:
    """Status and substatus of the refusal."""
    with pytest.raises(CosmosHttpResponseError) as caught:
        call()
    return caught.value.status_code, caught.value.sub_status or 0


def ask(container: ContainerProxy, query: str, **options: Any) -> list[dict[str, Any]]:
    """A query over all partitions, unless told otherwise."""
    scope: dict[str, Any] = {} if "partition_key" in options else {"enable_cross_partition_query": True}
    return [dict(found) for found in container.query_items(query, **scope, **options)]


def ids(found: list[dict[str, Any]]) -> list[str]:
    """Their ids."""
    return [one["id"] for one in found]
