"""The Cosmos DB emulator, asked by the SDK as it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ServiceResponseError
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from tests.clock import FakeClock
from tests.emulators.cosmos import Answer, CosmosEmulator, Drop, Slow

Policy = dict[str, Any]
EVERYTHING: Policy = {"indexingMode": "consistent", "includedPaths": [{"path": "/*"}], "excludedPaths": []}
SOME: Policy = {
    "indexingMode": "consistent",
    "includedPaths": [{"path": "/site/?"}, {"path": "/n/?"}, {"path": "/name/?"}],
    "excludedPaths": [{"path": "/*"}],
    "compositeIndexes": [[{"path": "/n", "order": "ascending"}, {"path": "/name", "order": "descending"}]],
}


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def emulator(clock: FakeClock) -> Iterator[CosmosEmulator]:
    """An empty account."""
    with CosmosEmulator(clock=clock) as emulator:
        yield emulator


@pytest.fixture
def client(emulator: CosmosEmulator) -> Iterator[CosmosClient]:
    """The SDK's client, by the connection string."""
    with CosmosClient.from_connection_string(emulator.connection_string) as client:
        yield client


@pytest.fixture
def database(client: CosmosClient) -> DatabaseProxy:
    """A database."""
    return client.create_database("predictions")


@pytest.fixture
def container(database: DatabaseProxy) -> ContainerProxy:
    """A container with some paths indexed."""
    return database.create_container("things", partition_key=PartitionKey("/site"), indexing_policy=SOME)


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


_THINGS: dict[str, object] = {
    "absent": ...,
    "null": None,
    "true": True,
    "one": 1,
    "two": 2.5,
    "word": "word",
    "world": "world",
    "list": [1],
    "object": {"deep": 1},
}


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("c.n = 1", {"one"}),
        ("c.n = true", {"true"}),
        ("c.n = null", {"null"}),
        ("c.n != 1", {"null", "true", "two", "word", "world", "list", "object"}),
        ("NOT (c.n = 1)", {"null", "true", "two", "word", "world", "list", "object"}),
        ("c.n > 1", {"two"}),
        ("c.n >= 1 AND c.n < 2.5", {"one"}),
        ("c.n > @word", {"world"}),
        ("c['n'] <= @word", {"word"}),
        ('c["n"] = @word OR c.n = 1', {"word", "one"}),
        (
            "IS_DEFINED(c.n) AND NOT IS_NULL(c.n) AND NOT IS_BOOL(c.n)",
            {"one", "two", "word", "world", "list", "object"},
        ),
        ("NOT IS_DEFINED(c.n) OR IS_NULL(c.n)", {"absent", "null"}),
        ("IS_NUMBER(c.n)", {"one", "two"}),
        ("NOT IS_NUMBER(c.n) AND NOT IS_STRING(c.n)", {"absent", "null", "true", "list", "object"}),
        ("c.n.deep = 1", {"object"}),
        ("STARTSWITH(c.n, 'wor') AND NOT CONTAINS(c.n, 'rl')", {"word"}),
        ("c.n = @unknown", set()),
        ("c.n = undefined", set()),
        ("NOT (c.n > 1)", {"one"}),
        ("c.n > 1 OR true", set(_THINGS)),
        ("c.n > 1 AND true", {"two"}),
        ("c.n = [1]", {"list"}),
        ('c.n = {"deep": 1}', {"object"}),
    ],
)
def test_conditions(database: DatabaseProxy, condition: str, found: set[str]) -> None:
    """Types count, and what is undefined is neither true nor false."""
    container = database.create_container("all", partition_key=PartitionKey("/site"), indexing_policy=EVERYTHING)
    for n, (doc_id, value) in enumerate(_THINGS.items()):
        put(container, doc_id, f"site-{n}", **({} if value is ... else {"n": value}))
    query = f"SELECT * FROM c WHERE {condition}"  # noqa: S608 - the test's own
    parameters: list[dict[str, object]] = [{"name": "@word", "value": "word"}]
    assert set(ids(ask(container, query, parameters=parameters))) == found


@pytest.mark.parametrize(
    "query",
    [
        "SELECT",
        "SELECT * FROM",
        "SELECT * FROM c WHERE",
        "SELECT * FROM c WHERE c.n ==",
        "SELECT * FROM c WHERE NOSUCH(c.n)",
        "SELECT * FROM c WHERE c.n = 'open",
        "SELECT * FROM c ORDER c.n",
        "SELECT * FROM c; DROP",
        "SELECT COUNT(1) FROM c",
        "SELECT TOP 1.5 * FROM c",
        "SELECT * FROM c OFFSET 1",
    ],
)
def test_queries_that_are_not_understood(container: ContainerProxy, query: str) -> None:
    """They are a 400, never an answer to something else."""
    put(container, "a")
    assert status_of(lambda: ask(container, query, partition_key="x"))[0] == 400


def test_order_over_all_partitions(emulator: CosmosEmulator, container: ContainerProxy) -> None:
    """The client puts the partitions' answers together: by one term, by two, with counts, and page by page."""
    emulator.routes.page_items = 2
    for n in range(12):
        put(container, f"{n:02}", f"site-{n % 5}", n=n // 2, name=f"{n}")
    assert ids(ask(container, "SELECT * FROM c ORDER BY c.id DESC")) == [f"{n:02}" for n in reversed(range(12))]
    both = "SELECT * FROM c ORDER BY c.n, c.name DESC"
    expected = ["01", "00", "03", "02", "05", "04", "07", "06", "09", "08", "11", "10"]
    assert ids(ask(container, both)) == expected
    assert ids(ask(container, "SELECT * FROM c ORDER BY c.n DESC, c.name ASC")) == expected[::-1]
    assert ids(ask(container, f"{both} OFFSET 3 LIMIT 4")) == expected[3:7]
    assert ids(ask(container, both.replace("*", "TOP 5 *"))) == expected[:5]
    assert len(ask(container, "SELECT TOP 5 * FROM c")) == 5
    within = ask(container, "SELECT TOP 1 c.id, c.n FROM c WHERE c.n >= 2 ORDER BY c.n", partition_key="site-0")
    assert within == [{"id": "05", "n": 2}]
    names: Any = container.query_items("SELECT VALUE c.name FROM c WHERE c.n = 0", partition_key="site-0")
    assert list(names) == ["0"]


def test_the_sdk_does_not_order_mixed_types(container: ContainerProxy) -> None:
    """Over several physical partitions it gives up where one has a number and another has none: see `selection.py`."""
    for n in range(8):
        put(container, f"{n}", f"site-{n}", **({"n": n} if n % 2 else {}))
    with pytest.raises(ValueError, match="Expected"):
        ask(container, "SELECT * FROM c ORDER BY c.n")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM c ORDER BY c.other", "order-by item is excluded"),
        ("SELECT * FROM c ORDER BY c.n, c.id", "composite index"),
        ("SELECT * FROM c ORDER BY c.n, c.name", "composite index"),
        ("SELECT * FROM c ORDER BY c.name DESC, c.n", "composite index"),
        ("SELECT * FROM c WHERE c.other > 1", "allow scan header"),
    ],
)
def test_what_no_index_serves_is_refused(container: ContainerProxy, query: str, words: str) -> None:
    """Ordering by excluded paths or without the composite index, and filters that would scan, within and over all."""
    put(container, "a", n=1, other=2)
    for options in ({}, {"partition_key": "x"}):
        with pytest.raises(CosmosHttpResponseError, match=words):
            ask(container, query, **options)


def test_a_scan_may_be_asked_for(emulator: CosmosEmulator, container: ContainerProxy) -> None:
    """Allowed to scan, a filter on an excluded path works, and costs by what it looks at."""
    for n in range(40):
        put(container, f"{n}", other=n)
    emulator.charge = 0.0
    assert ids(ask(container, "SELECT * FROM c WHERE c.other = 7", enable_scan_in_query=True)) == ["7"]
    scanned, emulator.charge = emulator.charge, 0.0
    assert ids(ask(container, "SELECT * FROM c WHERE c.id = '7'")) == ["7"]
    assert scanned > emulator.charge + 1


def test_all_partitions_have_to_be_meant(container: ContainerProxy) -> None:
    """A query that names neither a partition nor that it means all is a 400."""
    put(container, "a")
    query = container.query_items("SELECT * FROM c", enable_cross_partition_query=False)
    assert status_of(lambda: list(query))[0] == 400


def test_pages_can_be_gone_on_from(container: ContainerProxy) -> None:
    """A continuation leads to the next page, also for another client."""
    for n in range(5):
        put(container, f"{n}")

    def pages(continuation: str | None = None) -> Any:
        return container.query_items("SELECT * FROM c", partition_key="x", max_item_count=2).by_page(continuation)

    first = pages()
    assert ids(list(next(first))) == ["0", "1"]
    second = pages(first.continuation_token)
    assert [ids(list(page)) for page in second] == [["2", "3"], ["4"]]


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


def test_one_physical_partition_will_do(clock: FakeClock) -> None:
    """With one range, mixed types can be ordered: what tests must not rely on, and small accounts have."""
    with CosmosEmulator(clock=clock, ranges=1) as emulator, CosmosClient(emulator.endpoint, emulator.key) as client:
        container = client.create_database("one").create_container("things", partition_key=PartitionKey("/site"))
        for n in range(4):
            put(container, f"{n}", f"site-{n}", **({"n": n} if n % 2 else {}))
        assert ids(ask(container, "SELECT * FROM c ORDER BY c.n"))[2:] == ["1", "3"]


def test_nothing_is_left_running(clock: FakeClock) -> None:
    """After the block the port is closed and no thread of the emulator's is left, also with connections still open."""
    before = set(threading.enumerate())
    with CosmosEmulator(clock=clock) as emulator:
        client = CosmosClient(emulator.endpoint, emulator.key)
        client.create_database("a")
    with client:
        left = [thread for thread in set(threading.enumerate()) - before if "emulator" in thread.name]
    assert left == []
