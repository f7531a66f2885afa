"""The definitions of the containers, and the file that the templates read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

from shared.documents import CONTAINERS
from shared.storage.azure.indexing import as_text, container_definitions
from shared.storage.ports import Container, Vector
from tests.conftest import ROOT

FILE = ROOT / "infra" / "containers.json"


def test_the_file_is_current() -> None:
    """infra/containers.json is what the code says; `REWRITE_DOCS=1 python -m pytest` of this file writes it anew."""
    if os.environ.get("REWRITE_DOCS") == "1":
        FILE.write_text(as_text(CONTAINERS))
    assert FILE.read_text() == as_text(CONTAINERS)


def test_the_command_writes_the_file() -> None:
    """`python -m shared.storage.azure.indexing` says the same on its standard output, and nothing else."""
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "shared.storage.azure.indexing"]
    written = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert written.stdout == as_text(CONTAINERS)
    assert written.stderr == ""


def test_a_definition_has_all_that_a_container_says() -> None:
    """Keys, end, indexed fields with a composite index each, and the vector, kept out of the ordinary index."""
    container = Container(
        "sounds", partition_key="site", ttl_s=60, indexed=("start_utc", "site"), vector=Vector("embedding", 128)
    )
    (definition,) = container_definitions([container])
    assert definition == {
        "id": "sounds",
        "partitionKey": {"paths": ["/site"], "kind": "Hash", "version": 2},
        "defaultTtl": 60,
        "indexingPolicy": {
            "indexingMode": "consistent",
            "automatic": True,
            "includedPaths": [{"path": "/site/?"}, {"path": "/start_utc/?"}],
            "excludedPaths": [{"path": "/*"}, {"path": "/embedding/*"}],
            "compositeIndexes": [
                [{"path": "/start_utc", "order": "ascending"}, {"path": "/id", "order": "ascending"}],
                [{"path": "/site", "order": "ascending"}, {"path": "/id", "order": "ascending"}],
            ],
            "vectorIndexes": [{"path": "/embedding", "type": "quantizedFlat"}],
        },
        "vectorEmbeddingPolicy": {
            "vectorEmbeddings": [
                {"path": "/embedding", "dataType": "float32", "distanceFunction": "cosine", "dimensions": 128}
            ]
        },
    }


def test_a_container_without_an_end_or_a_vector_says_nothing_of_them() -> None:
    """No defaultTtl means that nothing ends; composite indexes are only those of indexed fields."""
    (definition,) = container_definitions([Container("plain", partition_key="site")])
    assert definition.keys() == {"id", "partitionKey", "indexingPolicy"}
    assert definition["indexingPolicy"]["compositeIndexes"] == []


def test_haros_own_containers_are_within_the_services_limits() -> None:
    """Names as Cosmos DB takes them, partition key paths of one level, vectors of a size quantizedFlat can hold."""
    definitions = json.loads(FILE.read_text())
    assert [definition["id"] for definition in definitions] == [container.name for container in CONTAINERS]
    for definition in definitions:
        assert re.fullmatch(r"[a-z][a-z0-9_-]{2,254}", definition["id"])
        assert re.fullmatch(r"/\w+", *definition["partitionKey"]["paths"])
        for embedding in definition.get("vectorEmbeddingPolicy", {}).get("vectorEmbeddings", []):
            assert 1 <= embedding["dimensions"] <= 4096
