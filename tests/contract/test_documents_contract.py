"""What every document store must do."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.errors import ConflictError, StorageError
from shared.storage.ports import Container, Json, Scalar, Stored
from tests.contract.conftest import SHORT_LIVED, SIGHTINGS, DocumentsHarness


def _sighting(doc_id: str, **fields: object) -> Json:
    return {"id": doc_id, "site": "bush-point", **fields}


def _read(store: DocumentsHarness, doc_id: str, container: Container = SIGHTINGS) -> Stored:
    stored = store.documents.get(container, "bush-point", doc_id)
    assert stored is not None, f"{doc_id} was written"
    return stored


def _query(store: DocumentsHarness, **arguments: Any) -> list[str]:
    return [stored.body["id"] for stored in store.documents.query(SIGHTINGS, **arguments)]


def test_reads_what_was_written(store: DocumentsHarness) -> None:
    """A document comes back equal, nothing added, whatever JSON it holds."""
    body = _sighting(
        "node:1773990017:5614-5619",
        text='"quoted" \\ \n 🐋 \u0000',
        numbers=[0, -1, 2**53, 1e-300, 0.1 + 0.2, 65.90525077448952],
        nested={"null": None, "bools": [True, False], "empty": [{}, [], ""]},
    )
    assert store.documents.create(SIGHTINGS, body)
    assert _read(store, body["id"]).body == body


def test_what_was_read_is_the_readers_own(store: DocumentsHarness) -> None:
    """Changing a body after writing or reading it does not change what is stored."""
    body = _sighting("a", tags=["SRKW"])
    store.documents.create(SIGHTINGS, body)
    body["tags"].append("after the write")
    _read(store, "a").body["tags"].append("after the read")
    assert _read(store, "a").body["tags"] == ["SRKW"]


def test_absent_documents(store: DocumentsHarness) -> None:
    """What is not there reads as None and cannot be deleted."""
    store.documents.create(SIGHTINGS, _sighting("a"))
    assert store.documents.get(SIGHTINGS, "bush-point", "b") is None
    assert store.documents.get(SIGHTINGS, "sunset-bay", "a") is None
    assert not store.documents.delete(SIGHTINGS, "sunset-bay", "a")
    assert _read(store, "a").body == _sighting("a")


def test_create_leaves_an_existing_document(store: DocumentsHarness) -> None:
    """A second create of the same partition and id writes nothing and says so; another partition does not matter."""
    assert store.documents.create(SIGHTINGS, _sighting("a", n=1))
    etag = _read(store, "a").etag
    assert not store.documents.create(SIGHTINGS, _sighting("a", n=2))
    assert _read(store, "a") == Stored(_sighting("a", n=1), etag)
    assert store.documents.create(SIGHTINGS, {"id": "a", "site": "sunset-bay"})


def test_containers_are_apart(store: DocumentsHarness) -> None:
    """The same keys in another container are another document."""
    assert store.documents.create(SIGHTINGS, _sighting("a", n=1))
    assert store.documents.create(SHORT_LIVED, _sighting("a", n=2))
    assert _read(store, "a").body["n"] == 1
    assert [stored.body["n"] for stored in store.documents.query(SHORT_LIVED)] == [2]


def test_one_of_many_creators_wins(store: DocumentsHarness) -> None:
    """Of writers that create one document at once exactly one is told that it did, and its body is there."""
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.documents.create(SIGHTINGS, _sighting("a", n=n)), range(16)))
    assert won.count(True) == 1
    assert _read(store, "a").body["n"] == won.index(True)


def test_replace_needs_the_current_etag(store: DocumentsHarness) -> None:
    """Each write gives a new etag, and only the newest may be shown; fields left out of the new body are gone."""
    store.documents.create(SIGHTINGS, _sighting("a", n=1, old=True))
    first = _read(store, "a").etag
    second = store.documents.replace(SIGHTINGS, _sighting("a", n=2), etag=first)
    assert _read(store, "a") == Stored(_sighting("a", n=2), second)
    assert second != first
    with pytest.raises(ConflictError):
        store.documents.replace(SIGHTINGS, _sighting("a", n=3), etag=first)
    assert _read(store, "a").body["n"] == 2


def test_an_equal_write_changes_the_etag_too(store: DocumentsHarness) -> None:
    """Writing the same body again is a write: who read before it is in conflict."""
    store.documents.create(SIGHTINGS, _sighting("a"))
    etag = _read(store, "a").etag
    assert store.documents.replace(SIGHTINGS, _sighting("a"), etag=etag) != etag


def test_replace_of_a_deleted_document_is_a_conflict(store: DocumentsHarness) -> None:
    """An etag dies with its document, and does not fit one created anew with the same body."""
    store.documents.create(SIGHTINGS, _sighting("a"))
    etag = _read(store, "a").etag
    assert store.documents.delete(SIGHTINGS, "bush-point", "a")
    with pytest.raises(ConflictError):
        store.documents.replace(SIGHTINGS, _sighting("a"), etag=etag)
    store.documents.create(SIGHTINGS, _sighting("a"))
    with pytest.raises(ConflictError):
        store.documents.replace(SIGHTINGS, _sighting("a"), etag=etag)


def test_one_of_many_replacers_wins(store: DocumentsHarness) -> None:
    """Of writers that show the same etag at once exactly one wins; all others get a conflict."""
    store.documents.create(SIGHTINGS, _sighting("a", n=-1))
    etag = _read(store, "a").etag

    def replace(n: int) -> bool:
        try:
            store.documents.replace(SIGHTINGS, _sighting("a", n=n), etag=etag)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(replace, range(16)))
    assert won.count(True) == 1
    assert _read(store, "a").body["n"] == won.index(True)


def test_no_update_is_lost(store: DocumentsHarness) -> None:
    """Writers that read, add one and try again on conflict count every one of their additions."""
    store.documents.create(SIGHTINGS, _sighting("a", n=0))

    def add_one(_: int) -> None:
        while True:
            stored = _read(store, "a")
            try:
                store.documents.replace(SIGHTINGS, {**stored.body, "n": stored.body["n"] + 1}, etag=stored.etag)
            except ConflictError:
                continue
            return

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(add_one, range(15)))
    assert _read(store, "a").body["n"] == 15


def test_delete(store: DocumentsHarness) -> None:
    """Delete says whether there was something, and takes it out of reads and queries."""
    store.documents.create(SIGHTINGS, _sighting("a"))
    assert store.documents.delete(SIGHTINGS, "bush-point", "a")
    assert not store.documents.delete(SIGHTINGS, "bush-point", "a")
    assert store.documents.get(SIGHTINGS, "bush-point", "a") is None
    assert _query(store) == []
    assert store.documents.create(SIGHTINGS, _sighting("a"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"site": "bush-point"}, id="no id"),
        pytest.param({"id": "", "site": "bush-point"}, id="empty id"),
        pytest.param({"id": 7, "site": "bush-point"}, id="id no string"),
        pytest.param({"id": "a/b", "site": "bush-point"}, id="slash in id"),
        pytest.param({"id": "a?b", "site": "bush-point"}, id="question mark in id"),
        pytest.param({"id": "..", "site": "bush-point"}, id="id that leads elsewhere"),
        pytest.param({"id": "x" * 256, "site": "bush-point"}, id="long id"),
        pytest.param({"id": "a"}, id="no partition"),
        pytest.param({"id": "a", "site": None}, id="partition null"),
        pytest.param({"id": "a", "site": "bush-point", "n": float("nan")}, id="not a number"),
        pytest.param({"id": "a", "site": "bush-point", "n": object()}, id="not JSON"),
    ],
)
def test_documents_that_are_not_allowed(store: DocumentsHarness, body: Json) -> None:
    """A body without proper keys, or that is not JSON, is refused by create and replace, and nothing is written."""
    with pytest.raises(StorageError):
        store.documents.create(SIGHTINGS, body)
    with pytest.raises(StorageError):
        store.documents.replace(SIGHTINGS, body, etag="any")
    assert _query(store) == []


def test_unknown_containers(store: DocumentsHarness) -> None:
    """Nothing can be written to or read from a container that was not set up."""
    unknown = Container("unknown", partition_key="site")
    with pytest.raises(StorageError, match="unknown"):
        store.documents.create(unknown, _sighting("a"))
    with pytest.raises(StorageError, match="unknown"):
        store.documents.query(unknown)


def test_documents_end_after_their_time(store: DocumentsHarness) -> None:
    """After `ttl_s` a document is neither read, found, replaced nor deleted, and its id is free again."""
    store.documents.create(SHORT_LIVED, _sighting("a", n=1))
    etag = _read(store, "a", SHORT_LIVED).etag
    store.advance(4)
    assert store.documents.get(SHORT_LIVED, "bush-point", "a") is None
    assert store.documents.query(SHORT_LIVED) == []
    assert not store.documents.delete(SHORT_LIVED, "bush-point", "a")
    with pytest.raises(ConflictError):
        store.documents.replace(SHORT_LIVED, _sighting("a", n=2), etag=etag)
    assert store.documents.create(SHORT_LIVED, _sighting("a", n=3))
    assert _read(store, "a", SHORT_LIVED).body["n"] == 3


def test_a_write_renews_the_time(store: DocumentsHarness) -> None:
    """The time counts from the last write; a container without `ttl_s` keeps its documents."""
    store.documents.create(SIGHTINGS, _sighting("kept"))
    store.documents.create(SHORT_LIVED, _sighting("a"))
    store.advance(2)
    store.documents.replace(SHORT_LIVED, _sighting("a"), etag=_read(store, "a", SHORT_LIVED).etag)
    store.advance(2)
    assert _read(store, "a", SHORT_LIVED)
    store.advance(2)
    assert store.documents.get(SHORT_LIVED, "bush-point", "a") is None
    assert _read(store, "kept")


_VALUES: dict[str, object] = {
    "absent": ...,
    "null": None,
    "true": True,
    "false": False,
    "one": 1,
    "zero": 0,
    "half": 0.5,
    "whole": 2.0,
    "text": "waiting",
    "digit": "1",
    "empty": "",
    "quoted": 'it\'s "so" -- ; DROP',
    "object": {"a": 1},
    "list": [1],
    "json": '{"a":1}',
}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, ["absent", "null"]),
        (True, ["true"]),
        (False, ["false"]),
        (1, ["one"]),
        (1.0, ["one"]),
        (0, ["zero"]),
        (0.5, ["half"]),
        (2, ["whole"]),
        ("waiting", ["text"]),
        ("1", ["digit"]),
        ("", ["empty"]),
        ('it\'s "so" -- ; DROP', ["quoted"]),
        ('{"a":1}', ["json"]),
        ("nothing of the kind", []),
    ],
)
@pytest.mark.parametrize("field", ["state", "other"])
def test_where_compares_as_json_does(store: DocumentsHarness, value: Scalar, found: list[str], field: str) -> None:
    """Types count: null is absent, true is not 1, "1" is not 1, 1 is 1.0; in indexed fields as in others."""
    for doc_id, stored in _VALUES.items():
        store.documents.create(SIGHTINGS, _sighting(doc_id) if stored is ... else _sighting(doc_id, **{field: stored}))
    assert _query(store, where={field: value}) == found


def test_where_takes_all_its_conditions(store: DocumentsHarness) -> None:
    """Documents must meet every condition, and those of the partition where one is given."""
    store.documents.create(SIGHTINGS, _sighting("a", state="open", reviewed=False))
    store.documents.create(SIGHTINGS, _sighting("b", state="open", reviewed=True))
    store.documents.create(SIGHTINGS, _sighting("c", state="done", reviewed=False))
    store.documents.create(SIGHTINGS, {"id": "d", "site": "sunset-bay", "state": "open", "reviewed": False})
    where: Mapping[str, Scalar] = {"state": "open", "reviewed": False}
    assert _query(store, where=where) == ["a", "d"]
    assert _query(store, where=where, partition="bush-point") == ["a"]
    assert _query(store, where={}, partition="sunset-bay") == ["d"]
    assert _query(store, partition="nowhere") == []


def test_since_and_until(store: DocumentsHarness) -> None:
    """`since` takes its value in, `until` leaves it out; documents without a string there are left out of both."""
    for hour in range(5):
        store.documents.create(SIGHTINGS, _sighting(f"h{hour}", start_utc=f"2026-03-20T0{hour}:00:00Z"))
    store.documents.create(SIGHTINGS, _sighting("none"))
    store.documents.create(SIGHTINGS, _sighting("null", start_utc=None))
    store.documents.create(SIGHTINGS, _sighting("number", start_utc=5))
    first, last = "2026-03-20T01:00:00Z", "2026-03-20T03:00:00Z"
    assert _query(store, since=("start_utc", first)) == ["h1", "h2", "h3", "h4"]
    assert _query(store, until=("start_utc", last)) == ["h0", "h1", "h2"]
    assert _query(store, since=("start_utc", first), until=("start_utc", last)) == ["h1", "h2"]
    assert _query(store, since=("start_utc", last), until=("start_utc", first)) == []


def test_order_is_by_field_then_id(store: DocumentsHarness) -> None:
    """Documents without the field come first, ties go by id, and `descending` turns all of it round."""
    for doc_id, start_utc in [("d", "2"), ("b", "1"), ("c", None), ("e", "1"), ("a", "2"), ("f", "10")]:
        store.documents.create(SIGHTINGS, _sighting(doc_id, **({"start_utc": start_utc} if start_utc else {})))
    expected = ["c", "b", "e", "f", "a", "d"]
    assert _query(store, order_by="start_utc") == expected
    assert _query(store, order_by="start_utc", descending=True) == expected[::-1]
    assert _query(store) == ["a", "b", "c", "d", "e", "f"]
    assert _query(store, descending=True) == ["f", "e", "d", "c", "b", "a"]


def test_numbers_order_as_numbers(store: DocumentsHarness) -> None:
    """A field of numbers is in the order of their values."""
    for doc_id, confidence in [("a", 10), ("b", 9.5), ("c", -1), ("d", 65.9)]:
        store.documents.create(SIGHTINGS, _sighting(doc_id, confidence=confidence))
    assert _query(store, order_by="confidence") == ["c", "b", "a", "d"]


def test_limit(store: DocumentsHarness) -> None:
    """A limit takes the first of the order; 0 takes none, and more than there are takes all."""
    for n in range(5):
        store.documents.create(SIGHTINGS, _sighting(f"d{n}", start_utc=f"{9 - n}"))
    assert _query(store, order_by="start_utc", limit=2) == ["d4", "d3"]
    assert _query(store, order_by="start_utc", descending=True, limit=1) == ["d0"]
    assert _query(store, limit=0) == []
    assert len(_query(store, limit=99)) == 5
    with pytest.raises(StorageError, match="limit"):
        _query(store, limit=-1)


@pytest.mark.parametrize("field", ["a.b", "a b", "a'b", "a]", "", "1a", "$", "é"])
def test_field_names_that_are_not_allowed(store: DocumentsHarness, field: str) -> None:
    """A field name that could be taken for something else is refused wherever one is given."""
    for arguments in (
        {"where": {field: "x"}},
        {"where": {field: None}},
        {"order_by": field},
        {"since": (field, "x")},
        {"until": (field, "x")},
    ):
        with pytest.raises(StorageError, match="field"):
            _query(store, **arguments)


def test_queries_give_etags_that_may_be_shown(store: DocumentsHarness) -> None:
    """What a query returns can be written back with the etag it came with."""
    store.documents.create(SIGHTINGS, _sighting("a", state="open"))
    (found,) = store.documents.query(SIGHTINGS, where={"state": "open"})
    store.documents.replace(SIGHTINGS, {**found.body, "state": "done"}, etag=found.etag)
    assert _query(store, where={"state": "done"}) == ["a"]
