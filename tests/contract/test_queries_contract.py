"""What every document store must find."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from shared.errors import StorageError
from shared.storage.ports import Scalar
from tests.contract.harness import SIGHTINGS, DocumentsHarness
from tests.contract.sightings import query, sighting

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
        store.documents.create(SIGHTINGS, sighting(doc_id) if stored is ... else sighting(doc_id, **{field: stored}))
    assert query(store, where={field: value}) == found


def test_where_takes_all_its_conditions(store: DocumentsHarness) -> None:
    """Documents must meet every condition, and those of the partition where one is given."""
    store.documents.create(SIGHTINGS, sighting("a", state="open", reviewed=False))
    store.documents.create(SIGHTINGS, sighting("b", state="open", reviewed=True))
    store.documents.create(SIGHTINGS, sighting("c", state="done", reviewed=False))
    store.documents.create(SIGHTINGS, {"id": "d", "site": "sunset-bay", "state": "open", "reviewed": False})
    where: Mapping[str, Scalar] = {"state": "open", "reviewed": False}
    assert query(store, where=where) == ["a", "d"]
    assert query(store, where=where, partition="bush-point") == ["a"]
    assert query(store, where={}, partition="sunset-bay") == ["d"]
    assert query(store, partition="nowhere") == []


def test_since_and_until(store: DocumentsHarness) -> None:
    """`since` takes its value in, `until` leaves it out; documents without a string there are left out of both."""
    for hour in range(5):
        store.documents.create(SIGHTINGS, sighting(f"h{hour}", start_utc=f"2026-03-20T0{hour}:00:00Z"))
    store.documents.create(SIGHTINGS, sighting("none"))
    store.documents.create(SIGHTINGS, sighting("null", start_utc=None))
    store.documents.create(SIGHTINGS, sighting("number", start_utc=5))
    first, last = "2026-03-20T01:00:00Z", "2026-03-20T03:00:00Z"
    assert query(store, since=("start_utc", first)) == ["h1", "h2", "h3", "h4"]
    assert query(store, until=("start_utc", last)) == ["h0", "h1", "h2"]
    assert query(store, since=("start_utc", first), until=("start_utc", last)) == ["h1", "h2"]
    assert query(store, since=("start_utc", last), until=("start_utc", first)) == []


def test_order_is_by_field_then_id(store: DocumentsHarness) -> None:
    """Documents without the field come first, ties go by id, and `descending` turns all of it round."""
    for doc_id, start_utc in [("d", "2"), ("b", "1"), ("c", None), ("e", "1"), ("a", "2"), ("f", "10")]:
        store.documents.create(SIGHTINGS, sighting(doc_id, **({"start_utc": start_utc} if start_utc else {})))
    expected = ["c", "b", "e", "f", "a", "d"]
    assert query(store, order_by="start_utc") == expected
    assert query(store, order_by="start_utc", descending=True) == expected[::-1]
    assert query(store) == ["a", "b", "c", "d", "e", "f"]
    assert query(store, descending=True) == ["f", "e", "d", "c", "b", "a"]


def test_numbers_order_as_numbers(store: DocumentsHarness) -> None:
    """A field of numbers is in the order of their values."""
    for doc_id, confidence in [("a", 10), ("b", 9.5), ("c", -1), ("d", 65.9)]:
        store.documents.create(SIGHTINGS, sighting(doc_id, confidence=confidence))
    assert query(store, order_by="confidence") == ["c", "b", "a", "d"]


def test_limit(store: DocumentsHarness) -> None:
    """A limit takes the first of the order; 0 takes none, and more than there are takes all."""
    for n in range(5):
        store.documents.create(SIGHTINGS, sighting(f"d{n}", start_utc=f"{9 - n}"))
    assert query(store, order_by="start_utc", limit=2) == ["d4", "d3"]
    assert query(store, order_by="start_utc", descending=True, limit=1) == ["d0"]
    assert query(store, limit=0) == []
    assert len(query(store, limit=99)) == 5
    with pytest.raises(StorageError, match="limit"):
        query(store, limit=-1)


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
            query(store, **arguments)


def test_queries_give_etags_that_may_be_shown(store: DocumentsHarness) -> None:
    """What a query returns can be written back with the etag it came with."""
    store.documents.create(SIGHTINGS, sighting("a", state="open"))
    (found,) = store.documents.query(SIGHTINGS, where={"state": "open"})
    store.documents.replace(SIGHTINGS, {**found.body, "state": "done"}, etag=found.etag)
    assert query(store, where={"state": "done"}) == ["a"]
