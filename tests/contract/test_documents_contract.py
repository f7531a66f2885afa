"""What every document store must do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.errors import ConflictError, StorageError
from shared.storage.ports import Container, Json, Stored
from tests.contract.harness import SHORT_LIVED, SIGHTINGS, DocumentsHarness
from tests.contract.sightings import query, read, sighting


def test_reads_what_was_written(store: DocumentsHarness) -> None:
    """A document comes back equal, nothing added, whatever JSON it holds."""
    body = sighting(
        "node:1773990017:5614-5619",
        text='"quoted" \\ \n 🐋 \u0000',
        numbers=[0, -1, 2**53, 1e-300, 0.1 + 0.2, 65.90525077448952],
        nested={"null": None, "bools": [True, False], "empty": [{}, [], ""]},
    )
    assert store.documents.create(SIGHTINGS, body)
    assert read(store, body["id"]).body == body


def test_what_was_read_is_the_readers_own(store: DocumentsHarness) -> None:
    """Changing a body after writing or reading it does not change what is stored."""
    body = sighting("a", tags=["SRKW"])
    store.documents.create(SIGHTINGS, body)
    body["tags"].append("after the write")
    read(store, "a").body["tags"].append("after the read")
    assert read(store, "a").body["tags"] == ["SRKW"]


def test_absent_documents(store: DocumentsHarness) -> None:
    """What is not there reads as None and cannot be deleted."""
    store.documents.create(SIGHTINGS, sighting("a"))
    assert store.documents.get(SIGHTINGS, "bush-point", "b") is None
    assert store.documents.get(SIGHTINGS, "sunset-bay", "a") is None
    assert not store.documents.delete(SIGHTINGS, "sunset-bay", "a")
    assert read(store, "a").body == sighting("a")


def test_create_leaves_an_existing_document(store: DocumentsHarness) -> None:
    """A second create of the same partition and id writes nothing and says so; another partition does not matter."""
    assert store.documents.create(SIGHTINGS, sighting("a", n=1))
    etag = read(store, "a").etag
    assert not store.documents.create(SIGHTINGS, sighting("a", n=2))
    assert read(store, "a") == Stored(sighting("a", n=1), etag)
    assert store.documents.create(SIGHTINGS, {"id": "a", "site": "sunset-bay"})


def test_containers_are_apart(store: DocumentsHarness) -> None:
    """The same keys in another container are another document."""
    assert store.documents.create(SIGHTINGS, sighting("a", n=1))
    assert store.documents.create(SHORT_LIVED, sighting("a", n=2))
    assert read(store, "a").body["n"] == 1
    assert [stored.body["n"] for stored in store.documents.query(SHORT_LIVED)] == [2]


def test_one_of_many_creators_wins(store: DocumentsHarness) -> None:
    """Of writers that create one document at once exactly one is told that it did, and its body is there."""
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.documents.create(SIGHTINGS, sighting("a", n=n)), range(16)))
    assert won.count(True) == 1
    assert read(store, "a").body["n"] == won.index(True)


def test_replace_needs_the_current_etag(store: DocumentsHarness) -> None:
    """Each write gives a new etag, and only the newest may be shown; fields left out of the new body are gone."""
    store.documents.create(SIGHTINGS, sighting("a", n=1, old=True))
    first = read(store, "a").etag
    second = store.documents.replace(SIGHTINGS, sighting("a", n=2), etag=first)
    assert read(store, "a") == Stored(sighting("a", n=2), second)
    assert second != first
    with pytest.raises(ConflictError):
        store.documents.replace(SIGHTINGS, sighting("a", n=3), etag=first)
    assert read(store, "a").body["n"] == 2


def test_an_equal_write_changes_the_etag_too(store: DocumentsHarness) -> None:
    """Writing the same body again is a write: who read before it is in conflict."""
    store.documents.create(SIGHTINGS, sighting("a"))
    etag = read(store, "a").etag
    assert store.documents.replace(SIGHTINGS, sighting("a"), etag=etag) != etag


def test_replace_of_a_deleted_document_is_a_conflict(store: DocumentsHarness) -> None:
    """An etag dies with its document, and does not fit one created anew with the same body."""
    store.documents.create(SIGHTINGS, sighting("a"))
    etag = read(store, "a").etag
    assert store.documents.delete(SIGHTINGS, "bush-point", "a")
    with pytest.raises(ConflictError):
        store.documents.replace(SIGHTINGS, sighting("a"), etag=etag)
    store.documents.create(SIGHTINGS, sighting("a"))
    with pytest.raises(ConflictError):
        store.documents.replace(SIGHTINGS, sighting("a"), etag=etag)


def test_one_of_many_replacers_wins(store: DocumentsHarness) -> None:
    """Of writers that show the same etag at once exactly one wins; all others get a conflict."""
    store.documents.create(SIGHTINGS, sighting("a", n=-1))
    etag = read(store, "a").etag

    def replace(n: int) -> bool:
        try:
            store.documents.replace(SIGHTINGS, sighting("a", n=n), etag=etag)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(replace, range(16)))
    assert won.count(True) == 1
    assert read(store, "a").body["n"] == won.index(True)


def test_no_update_is_lost(store: DocumentsHarness) -> None:
    """Writers that read, add one and try again on conflict count every one of their additions."""
    store.documents.create(SIGHTINGS, sighting("a", n=0))

    def add_one(_: int) -> None:
        while True:
            stored = read(store, "a")
            try:
                store.documents.replace(SIGHTINGS, {**stored.body, "n": stored.body["n"] + 1}, etag=stored.etag)
            except ConflictError:
                continue
            return

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(add_one, range(15)))
    assert read(store, "a").body["n"] == 15


def test_delete(store: DocumentsHarness) -> None:
    """Delete says whether there was something, and takes it out of reads and queries."""
    store.documents.create(SIGHTINGS, sighting("a"))
    assert store.documents.delete(SIGHTINGS, "bush-point", "a")
    assert not store.documents.delete(SIGHTINGS, "bush-point", "a")
    assert store.documents.get(SIGHTINGS, "bush-point", "a") is None
    assert query(store) == []
    assert store.documents.create(SIGHTINGS, sighting("a"))


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
    assert query(store) == []


def test_unknown_containers(store: DocumentsHarness) -> None:
    """Nothing can be written to or read from a container that was not set up."""
    unknown = Container("unknown", partition_key="site")
    with pytest.raises(StorageError, match="unknown"):
        store.documents.create(unknown, sighting("a"))
    with pytest.raises(StorageError, match="unknown"):
        store.documents.query(unknown)


def test_documents_end_after_their_time(store: DocumentsHarness) -> None:
    """After `ttl_s` a document is neither read, found, replaced nor deleted, and its id is free again."""
    store.documents.create(SHORT_LIVED, sighting("a", n=1))
    etag = read(store, "a", SHORT_LIVED).etag
    store.advance(4)
    assert store.documents.get(SHORT_LIVED, "bush-point", "a") is None
    assert store.documents.query(SHORT_LIVED) == []
    assert not store.documents.delete(SHORT_LIVED, "bush-point", "a")
    with pytest.raises(ConflictError):
        store.documents.replace(SHORT_LIVED, sighting("a", n=2), etag=etag)
    assert store.documents.create(SHORT_LIVED, sighting("a", n=3))
    assert read(store, "a", SHORT_LIVED).body["n"] == 3


def test_a_write_renews_the_time(store: DocumentsHarness) -> None:
    """The time counts from the last write; a container without `ttl_s` keeps its documents."""
    store.documents.create(SIGHTINGS, sighting("kept"))
    store.documents.create(SHORT_LIVED, sighting("a"))
    store.advance(2)
    store.documents.replace(SHORT_LIVED, sighting("a"), etag=read(store, "a", SHORT_LIVED).etag)
    store.advance(2)
    assert read(store, "a", SHORT_LIVED)
    store.advance(2)
    assert store.documents.get(SHORT_LIVED, "bush-point", "a") is None
    assert read(store, "kept")
