"""What every document store must do: telling what changed since a mark."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import UnknownMark
from shared.storage.ports import Container, Stored
from tests.contract.harness import CHANGES_AT_ONCE, SHORT_LIVED, SIGHTINGS, DocumentsHarness
from tests.contract.sightings import read, sighting


def _follow(store: DocumentsHarness, mark: str = "", container: Container = SIGHTINGS) -> tuple[list[Stored], str]:
    """All changes since the mark, call by call, and the mark they lead to."""
    found: list[Stored] = []
    more = True
    while more:
        changes = store.documents.changes(container, after=mark)
        found += changes.documents
        mark, more = changes.mark, changes.more
    return found, mark


def _ids(found: list[Stored]) -> list[str]:
    return [stored.body["id"] for stored in found]


def test_changes_since_a_mark(store: DocumentsHarness) -> None:
    """What was created and replaced since comes in the order of its last write, once, as it now is; then nothing."""
    for n in range(3):
        store.documents.create(SIGHTINGS, sighting(f"d{n}", n=n))
    found, mark = _follow(store)
    assert found == [read(store, f"d{n}") for n in range(3)]
    assert _follow(store, mark)[0] == []

    store.documents.create(SIGHTINGS, sighting("new"))
    store.documents.replace(SIGHTINGS, sighting("d1", n="once"), etag=read(store, "d1").etag)
    store.documents.replace(SIGHTINGS, sighting("d1", n="twice"), etag=read(store, "d1").etag)
    store.documents.replace(SIGHTINGS, sighting("d0", n="once"), etag=read(store, "d0").etag)
    found, later = _follow(store, mark)
    assert found == [read(store, doc_id) for doc_id in ("new", "d1", "d0")]
    assert _follow(store, mark)[0] == found, "an older mark can be gone back to"
    assert _follow(store, later)[0] == []


def test_changes_of_nothing(store: DocumentsHarness) -> None:
    """A container without documents gives a mark all the same, and from it on nothing is missed."""
    found, mark = _follow(store)
    assert found == []
    store.documents.create(SIGHTINGS, sighting("a"))
    assert _ids(_follow(store, mark)[0]) == ["a"]
    assert _ids(_follow(store)[0]) == ["a"]


def test_changes_leave_out_what_is_gone(store: DocumentsHarness) -> None:
    """What was deleted or has ended is no change; created again, it is."""
    _, mark = _follow(store)
    for doc_id in ("a", "b", "c"):
        store.documents.create(SIGHTINGS, sighting(doc_id))
    store.documents.delete(SIGHTINGS, "bush-point", "c")
    store.documents.delete(SIGHTINGS, "bush-point", "a")
    assert _ids(_follow(store, mark)[0]) == ["b"]
    store.documents.create(SIGHTINGS, sighting("a"))
    assert _ids(_follow(store, mark)[0]) == ["b", "a"]

    store.documents.create(SHORT_LIVED, sighting("ended"))
    store.advance(4)
    store.documents.create(SHORT_LIVED, sighting("alive"))
    assert _ids(_follow(store, container=SHORT_LIVED)[0]) == ["alive"]


def test_changes_of_containers_are_apart(store: DocumentsHarness) -> None:
    """What is written to one container is no change of another."""
    store.documents.create(SIGHTINGS, sighting("a"))
    store.documents.create(SHORT_LIVED, sighting("b"))
    assert _ids(_follow(store)[0]) == ["a"]
    assert _ids(_follow(store, container=SHORT_LIVED)[0]) == ["b"]


def test_many_changes_come_in_parts(store: DocumentsHarness) -> None:
    """Within one partition all come in order, part by part, also when documents are written in between."""
    everything = [f"d{n}" for n in range(CHANGES_AT_ONCE * 4)]
    for doc_id in everything:
        store.documents.create(SIGHTINGS, sighting(doc_id))
    first = store.documents.changes(SIGHTINGS)
    assert first.more
    part = len(first.documents)
    assert CHANGES_AT_ONCE <= part < len(everything)
    assert _ids(list(first.documents)) == everything[:part]
    store.documents.replace(SIGHTINGS, sighting("d0"), etag=read(store, "d0").etag)
    store.documents.delete(SIGHTINGS, "bush-point", everything[part])
    assert _ids(_follow(store, first.mark)[0]) == [*everything[part + 1 :], "d0"]


@pytest.mark.parametrize("mark", ["nonsense", "5", "sightings", "sightings:-1", "sightings:99999", "e30=", "0"])
def test_marks_that_were_never_given(store: DocumentsHarness, mark: str) -> None:
    """What is no mark is refused, and so is the mark of another container."""
    store.documents.create(SIGHTINGS, sighting("a"))
    for wrong in (mark, _follow(store, container=SHORT_LIVED)[1]):
        with pytest.raises(UnknownMark):
            store.documents.changes(SIGHTINGS, after=wrong)


_WRITES = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "delete", "look"]), st.sampled_from("abc"), st.integers(0, 3)
    ),
    max_size=20,
)


@settings(
    max_examples=20,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the store is emptied for every example
)
@given(_WRITES)
def test_following_marks_misses_nothing(store: DocumentsHarness, writes: list[tuple[str, str, int]]) -> None:
    """After any writes and looks, whoever followed the marks has seen the newest state of every document, in order."""
    for stored in store.documents.query(SIGHTINGS):
        store.documents.delete(SIGHTINGS, stored.body["site"], stored.body["id"])
    seen: dict[tuple[str, str], Stored] = {}
    written: list[tuple[str, str]] = []  # keys in the order of their last writes
    mark = ""
    for step, (what, doc_id, site_number) in enumerate([*writes, ("look", "a", 0)]):
        key = (f"site-{site_number}", doc_id)
        there = store.documents.get(SIGHTINGS, *key)
        if what == "look":
            found, mark = _follow(store, mark)
            keys = [(one.body["site"], one.body["id"]) for one in found]
            for site in {site for site, _ in keys}:
                here = [one for one in keys if one[0] == site]
                assert here == sorted(here, key=written.index), f"order within {site}"
            assert len(keys) == len(set(keys)), "each once"
            seen.update(zip(keys, found, strict=True))
        elif what == "delete":
            store.documents.delete(SIGHTINGS, *key)
        else:
            body = {"id": doc_id, "site": key[0], "step": step}
            if there is None:
                store.documents.create(SIGHTINGS, body)
            else:
                store.documents.replace(SIGHTINGS, body, etag=there.etag)
            written = [*(one for one in written if one != key), key]
    now = {(one.body["site"], one.body["id"]): one for one in store.documents.query(SIGHTINGS)}
    assert {key: seen.get(key) for key in now} == now
