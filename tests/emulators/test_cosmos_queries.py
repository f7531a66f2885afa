"""Queries to the Cosmos DB emulator, asked by the SDK as it comes."""

from __future__ import annotations

from typing import Any

import pytest
from azure.cosmos import ContainerProxy, CosmosClient, DatabaseProxy, PartitionKey
from azure.cosmos.exceptions import (
    CosmosHttpResponseError,
)

from tests.clock import FakeClock
from tests.emulators.cosmos import CosmosEmulator
from tests.emulators.items import EVERYTHING, ask, ids, put, status_of

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


def test_one_physical_partition_will_do(clock: FakeClock) -> None:
    """With one range, mixed types can be ordered: what tests must not rely on, and small accounts have."""
    with CosmosEmulator(clock=clock, ranges=1) as emulator, CosmosClient(emulator.endpoint, emulator.key) as client:
        container = client.create_database("one").create_container("things", partition_key=PartitionKey("/site"))
        for n in range(4):
            put(container, f"{n}", f"site-{n}", **({"n": n} if n % 2 else {}))
        assert ids(ask(container, "SELECT * FROM c ORDER BY c.n"))[2:] == ["1", "3"]
