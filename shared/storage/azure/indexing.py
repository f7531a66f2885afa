"""The containers of the Cosmos DB database as it has to be told of them, all from the one list in `shared/documents`.

    python -m shared.storage.azure.indexing > infra/containers.json

writes what the templates in `infra/` read; emulators are set up by `ensure_containers`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from azure.cosmos import DatabaseProxy, PartitionKey

from shared.documents import CONTAINERS
from shared.storage.ports import Container, Json


def container_definitions(containers: Iterable[Container]) -> list[Json]:
    """One JSON-ready definition per container, in the words of the REST API and of Bicep."""
    return [_definition(container) for container in containers]


def ensure_containers(database: DatabaseProxy, containers: Iterable[Container]) -> None:
    """Create the containers that are not there yet: for emulators, for in Azure the app has no right to."""
    for definition in container_definitions(containers):
        options: dict[str, Any] = {}
        if "vectorEmbeddingPolicy" in definition:
            options["vector_embedding_policy"] = definition["vectorEmbeddingPolicy"]
        database.create_container_if_not_exists(
            definition["id"],
            partition_key=PartitionKey(path=definition["partitionKey"]["paths"][0]),
            default_ttl=definition.get("defaultTtl"),
            indexing_policy=definition["indexingPolicy"],
            **options,
        )


def _definition(container: Container) -> Json:
    definition: Json = {
        "id": container.name,
        "partitionKey": {"paths": [f"/{container.partition_key}"], "kind": "Hash", "version": 2},
        "indexingPolicy": _indexing_policy(container),
    }
    if container.ttl_s is not None:
        definition["defaultTtl"] = container.ttl_s
    if container.vector is not None:
        embedding = {
            "path": f"/{container.vector.field}",
            "dataType": "float32",
            "distanceFunction": "cosine",
            "dimensions": container.vector.dimensions,
        }
        definition["vectorEmbeddingPolicy"] = {"vectorEmbeddings": [embedding]}
    return definition


def _indexing_policy(container: Container) -> Json:
    """Only what queries ask for: each write pays for each path that is indexed.

    The partition key has to be named, or a query within one partition scans; `id` is always indexed. To order by a
    field and then by `id` Cosmos DB needs a composite index of the two, which serves both directions.
    """
    included = dict.fromkeys((container.partition_key, *container.indexed))
    policy: Json = {
        "indexingMode": "consistent",
        "automatic": True,
        "includedPaths": [{"path": f"/{field}/?"} for field in included],
        "excludedPaths": [{"path": "/*"}],
        "compositeIndexes": [
            [{"path": f"/{field}", "order": "ascending"}, {"path": "/id", "order": "ascending"}]
            for field in container.indexed
        ],
    }
    if container.vector is not None:
        policy["excludedPaths"].append({"path": f"/{container.vector.field}/*"})
        policy["vectorIndexes"] = [{"path": f"/{container.vector.field}", "type": "quantizedFlat"}]
    return policy


def as_text(containers: Iterable[Container]) -> str:
    """The definitions as the file holds them."""
    return json.dumps(container_definitions(containers), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text(CONTAINERS))
