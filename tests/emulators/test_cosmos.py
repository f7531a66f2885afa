"""The Cosmos DB emulator, asked by the SDK as it comes."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ServiceResponseError
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from tests.clock import FakeClock
from tests.emulators.cosmos import Answer, CosmosEmulator, Drop, Slow
from tests.emulators.items import SOME, ask, ids, put, status_of


def test_the_wrong_key_is_refused(emulator: CosmosEmulator, database: DatabaseProxy) -> None:
    """A request signed with another key is a 401, also where it would only read."""
    with CosmosClient(emulator.endpoint, emulator.key) as client:
        client.client_connection.master_key = "d3Jvbmc="
        assert status_of(database.__class__(client.client_connection, "predictions").read)[0] == 401
    assert database.read()["id"] == "predictions"


def test_databases_and_containers(client: CosmosClient, database: DatabaseProxy, container: ContainerProxy) -> None:
    """They are created once, read, listed and deleted; what a container was created with is read back."""
    with pytest.raises(CosmosResourceExistsError):
        client.create_database("predictions")
    with pytest.raises(CosmosResourceExistsError):
        database.create_container("things", partition_key=PartitionKey("/site"))
    assert client.create_database_if_not_exists("predictions").id == "predictions"
    assert [one["id"] for one in client.list_databases()] == ["predictions"]
    vectors = {
        "vectorEmbeddings": [
            {"path": "/v", "dataType": "float32", "distanceFunction": "cosine", "dimensions": 128},
        ]
    }
    policy = {**SOME, "vectorIndexes": [{"path": "/v", "type": "quantizedFlat"}]}
    database.create_container(
        "vectors",
        partition_key=PartitionKey("/site"),
        default_ttl=60,
        indexing_policy=policy,
        vector_embedding_policy=vectors,
    )
    made = database.get_container_client("vectors").read()
    assert (made["defaultTtl"], made["indexingPolicy"], made["vectorEmbeddingPolicy"]) == (60, policy, vectors)
    assert [one["id"] for one in database.list_containers()] == ["things", "vectors"]
    database.delete_container("vectors")
    assert [one["id"] for one in database.list_containers()] == ["things"]
    assert status_of(lambda: database.get_container_client("vectors").read())[0] == 404
    client.delete_database("predictions")
    assert list(client.list_databases()) == []


def test_a_container_of_a_database_that_is_not_there(client: CosmosClient, container: ContainerProxy) -> None:
    """A document of a container that was deleted is a 404 with the substatus that says so."""
    put(container, "a")
    client.delete_database("predictions")
    assert status_of(lambda: container.read_item("a", partition_key="x")) == (404, 1003)


def test_documents(container: ContainerProxy) -> None:
    """Created, read, replaced, upserted and deleted, with the system's fields and 201, 404 and 409 where due."""
    made = put(container, "a", n=1)
    assert made.keys() == {"id", "site", "n", "_rid", "_self", "_etag", "_attachments", "_ts"}
    with pytest.raises(CosmosResourceExistsError):
        put(container, "a")
    put(container, "a", site="y")
    assert container.read_item("a", partition_key="x") == made
    replaced = container.replace_item("a", {"id": "a", "site": "x", "n": 2})
    assert replaced["_etag"] != made["_etag"]
    assert replaced["_rid"] == made["_rid"]
    assert container.upsert_item({"id": "a", "site": "x", "n": 3})["n"] == 3
    assert container.upsert_item({"id": "b", "site": "x"})["id"] == "b"
    container.delete_item("a", partition_key="x")
    for call in (
        lambda: container.read_item("a", partition_key="x"),
        lambda: container.delete_item("a", partition_key="x"),
        lambda: container.replace_item("a", {"id": "a", "site": "x"}),
    ):
        with pytest.raises(CosmosResourceNotFoundError):
            call()
    assert ids([dict(one) for one in container.read_all_items()]) == ["a", "b"]


def test_numbers_are_doubles(container: ContainerProxy) -> None:
    """What does not fit a 64-bit float comes back as the nearest one, and 2.0 as 2: as the real service does it."""
    made = put(container, "a", big=2**53 + 1, whole=2.0, small=1e-300, text="\U0001f40b \x00")
    assert (made["big"], repr(made["whole"]), made["small"], made["text"]) == (2**53, "2", 1e-300, "\U0001f40b \x00")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"id": "", "site": "x"}, 400),
        ({"id": "x" * 1024, "site": "x"}, 400),
        ({"id": "a", "site": "x", "n": float("nan")}, 400),
        ({"id": "a", "site": "x", "text": "x" * 2_100_000}, 413),
    ],
)
def test_documents_that_are_refused(container: ContainerProxy, body: dict[str, Any], status: int) -> None:
    """Bad ids, numbers that JSON does not know, and documents of more than 2 MB are not taken."""
    assert status_of(lambda: container.create_item(body))[0] == status
    assert ask(container, "SELECT * FROM c") == []


def test_the_partition_key_of_the_header_counts(container: ContainerProxy) -> None:
    """A body that belongs to another partition than the request says is a 400 with substatus 1001."""
    connection: Any = container.client_connection
    body, options = {"id": "a", "site": "x"}, {"partitionKey": "y"}
    assert status_of(lambda: connection.CreateItem(container.container_link, body, options)) == (400, 1001)


def test_conditional_writes(container: ContainerProxy) -> None:
    """Only the newest etag lets a replace, an upsert and a delete through; of any other it is a 412."""
    old = put(container, "a")["_etag"]
    match: dict[str, Any] = {"match_condition": MatchConditions.IfNotModified}
    new = container.replace_item("a", {"id": "a", "site": "x"}, etag=old, **match)["_etag"]
    for call in (
        lambda: container.replace_item("a", {"id": "a", "site": "x"}, etag=old, **match),
        lambda: container.upsert_item({"id": "a", "site": "x"}, etag=old, **match),
        lambda: container.delete_item("a", partition_key="x", etag=old, **match),
    ):
        with pytest.raises(CosmosAccessConditionFailedError):
            call()
    container.delete_item("a", partition_key="x", etag=new, **match)
    assert ask(container, "SELECT * FROM c") == []


def test_documents_end(database: DatabaseProxy, container: ContainerProxy, clock: FakeClock) -> None:
    """After the container's time, or its own, a document is gone; -1 is for ever; without a default nothing ends."""
    ending = database.create_container("ending", partition_key=PartitionKey("/site"), default_ttl=60)
    put(ending, "default")
    put(ending, "soon", ttl=10)
    put(ending, "never", ttl=-1)
    put(container, "kept", ttl=10)
    clock.advance(10)
    assert ids(ask(ending, "SELECT * FROM c")) == ["default", "never"]
    clock.advance(50)
    assert ids(ask(ending, "SELECT * FROM c")) == ["never"]
    assert put(ending, "default")["id"] == "default"
    assert ids(ask(container, "SELECT * FROM c")) == ["kept"]


def changes(container: ContainerProxy, **options: Any) -> tuple[list[str], str]:
    """Ids of all changes, and the mark after them."""
    heard: list[Any] = []
    found = container.query_items_change_feed(response_hook=lambda headers, _: heard.append(headers), **options)
    return [one["id"] for one in found], heard[-1]["etag"]


def test_the_change_feed(container: ContainerProxy) -> None:
    """From the beginning everything in the order of its last write, from a mark what is new, from a 304 nothing."""
    for doc_id in ("a", "b", "c"):
        put(container, doc_id)
    container.upsert_item({"id": "a", "site": "x", "n": 2})
    container.delete_item("c", partition_key="x")
    found, mark = changes(container, start_time="Beginning")
    assert found == ["b", "a"]
    assert changes(container, continuation=mark)[0] == []
    put(container, "d")
    assert changes(container, continuation=mark)[0] == ["d"]
    assert [one["_lsn"] for one in container.query_items_change_feed(continuation=mark)] == [5]
    assert changes(container, start_time="Now")[0] == []
    assert "_lsn" not in container.read_item("d", partition_key="x")


def test_the_sdk_refuses_a_mark_of_its_own(container: ContainerProxy) -> None:
    """A mark made before each physical partition was read cannot be gone on from: see `CosmosDocuments.changes`."""
    for n in range(8):
        put(container, f"{n}", f"site-{n}")
    heard: list[Any] = []
    feed = container.query_items_change_feed(
        start_time="Beginning", max_item_count=1, response_hook=lambda headers, _: heard.append(headers)
    )
    next(feed.by_page())
    with pytest.raises(ValueError, match="Missing token"):
        changes(container, continuation=heard[-1]["etag"])


def test_charges_are_of_the_right_size(emulator: CosmosEmulator, container: ContainerProxy) -> None:
    """A document of up to 1 kB costs 5 units to write and 1 to read, of 10 kB ten times that."""
    charges = []
    for doc_id, size in (("small", 500), ("large", 10_000)):
        emulator.charge = 0.0
        put(container, doc_id, text="x" * size)
        written = emulator.charge
        container.read_item(doc_id, partition_key="x")
        charges.append((written, emulator.charge - written))
    assert charges == [(5, 1), (50, 10)]


def test_faults_meet_who_they_are_meant_for(
    emulator: CosmosEmulator, database: DatabaseProxy, container: ContainerProxy
) -> None:
    """A fault hits as many requests of its method and container as it was told to, and no set-up."""
    other = database.create_container("other", partition_key=PartitionKey("/site"))
    emulator.faults.add(Answer(413), times=2, method="POST", container="things")
    put(other, "a")
    database.read()
    assert status_of(lambda: put(container, "a"))[0] == 413
    assert status_of(lambda: container.upsert_item({"id": "a", "site": "x"}))[0] == 413
    put(container, "a")

    for after_work in (False, True):
        emulator.faults.add(Drop(after_work=after_work), method="DELETE")
        with pytest.raises(ServiceResponseError):
            container.delete_item("a", partition_key="x")
        assert ids(ask(container, "SELECT * FROM c")) == ([] if after_work else ["a"])

    emulator.faults.add(Slow(0.01))
    assert put(container, "slow")
    emulator.faults.add(Answer(413))
    emulator.faults.clear()
    assert put(container, "well")


def test_nothing_is_left_running(clock: FakeClock) -> None:
    """After the block the port is closed and no thread of the emulator's is left, also with connections still open."""
    before = set(threading.enumerate())
    with CosmosEmulator(clock=clock) as emulator:
        client = CosmosClient(emulator.endpoint, emulator.key)
        client.create_database("a")
    with client:
        left = [thread for thread in set(threading.enumerate()) - before if "emulator" in thread.name]
    assert left == []
