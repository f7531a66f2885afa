"""What the local document store does beyond the contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.documents import CONTAINERS
from shared.errors import StorageError
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.ports import Container
from tests.clock import FakeClock

CLIPS = Container("clips", partition_key="site", indexed=("start_utc",))
SESSIONS = Container("sessions", partition_key="site", ttl_s=60)


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new database."""
    with Database(tmp_path / "haro.sqlite") as database:
        yield database


@pytest.fixture
def documents(database: Database, clock: FakeClock) -> SqliteDocuments:
    """Documents with and without an end."""
    return SqliteDocuments(database, (CLIPS, SESSIONS), now=clock)


def test_everything_survives_reopening(tmp_path: Path, clock: FakeClock) -> None:
    """Documents and their etags outlive the process, and Haro's own containers can all be set up twice."""
    for first_time in (True, False):
        with Database(tmp_path / "haro.sqlite") as database:
            documents = SqliteDocuments(database, (*CONTAINERS, CLIPS), now=clock)
            assert documents.create(CLIPS, {"id": "a", "site": "x"}) is first_time
            stored = documents.get(CLIPS, "x", "a")
            assert stored is not None
            if first_time:
                etag = stored.etag
            assert stored.etag == etag


def test_sweep_deletes_what_ended(documents: SqliteDocuments, database: Database, clock: FakeClock) -> None:
    """What ended leaves the file at the next sweep; what did not, or never ends, stays."""
    documents.create(CLIPS, {"id": "kept", "site": "x"})
    documents.create(SESSIONS, {"id": "old", "site": "x"})
    clock.advance(30)
    documents.create(SESSIONS, {"id": "young", "site": "x"})
    assert documents.sweep() == 0
    clock.advance(30)
    assert documents.sweep() == 1
    assert [row["id"] for row in database.rows("SELECT id FROM documents ORDER BY id")] == ["kept", "young"]


@pytest.mark.parametrize(
    ("arguments", "index"),
    [
        ({"order_by": "start_utc"}, "documents_clips_start_utc"),
        ({"order_by": "start_utc", "descending": True, "limit": 1}, "documents_clips_start_utc"),
        ({"where": {"start_utc": "x"}}, "documents_clips_start_utc"),
        ({"where": {"start_utc": None}}, "documents_clips_start_utc"),
        ({"since": ("start_utc", "x"), "until": ("start_utc", "y")}, "documents_clips_start_utc"),
        ({"partition": "x", "order_by": "start_utc", "limit": 1}, "documents_clips_start_utc_in_partition"),
        ({"partition": "x", "where": {"start_utc": "x"}}, "documents_clips_start_utc_in_partition"),
        ({"partition": "x", "since": ("start_utc", "x")}, "documents_clips_start_utc_in_partition"),
    ],
)
def test_queries_on_indexed_fields_use_the_index(
    documents: SqliteDocuments,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
    index: str,
) -> None:
    """SQLite's own plan goes by the index, and sorts nothing afterwards where the order is that of the index."""
    asked: list[tuple[str, Sequence[object]]] = []
    rows = database.rows

    def listen(sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        asked.append((sql, parameters))
        return list(rows(sql, parameters))

    monkeypatch.setattr(database, "rows", listen)
    documents.query(CLIPS, **arguments)
    ((sql, parameters),) = asked
    plan = " | ".join(row["detail"] for row in rows(f"EXPLAIN QUERY PLAN {sql}", parameters))
    assert f"USING INDEX {index} " in plan + " "
    if "order_by" in arguments:
        assert "TEMP B-TREE" not in plan


def test_marks_survive_what_is_deleted_and_the_clock(
    documents: SqliteDocuments, database: Database, clock: FakeClock
) -> None:
    """A mark holds after the newest document is deleted for good, and when the clock was put back."""
    documents.create(SESSIONS, {"id": "a", "site": "x"})
    mark = documents.changes(SESSIONS).mark
    clock.advance(60)
    documents.sweep()
    assert database.rows("SELECT * FROM documents") == []
    clock.advance(-3600)
    documents.create(SESSIONS, {"id": "b", "site": "x"})
    changes = documents.changes(SESSIONS, after=mark)
    assert [one.body["id"] for one in changes.documents] == ["b"]
    assert not changes.more


def test_changes_go_by_their_index(
    database: Database, documents: SqliteDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To find that there is nothing new costs no walk over all documents, and a page is not sorted."""
    asked: list[tuple[str, Sequence[object]]] = []
    rows = database.rows
    mark = documents.changes(CLIPS).mark

    def listen(sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        asked.append((sql, parameters))
        return list(rows(sql, parameters))

    monkeypatch.setattr(database, "rows", listen)
    documents.changes(CLIPS, after=mark)
    sql, parameters = asked[-1]
    plan = " | ".join(row["detail"] for row in rows(f"EXPLAIN QUERY PLAN {sql}", parameters))
    assert "SEARCH documents USING INDEX documents_written (container=? AND write_number>?)" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("name", ["Clips", "a-b", "", "x; DROP TABLE documents", "é"])
def test_container_names_are_checked(database: Database, clock: FakeClock, name: str) -> None:
    """A container whose name could be taken for SQL is refused at the start."""
    with pytest.raises(StorageError, match="not a container's name"):
        SqliteDocuments(database, [Container(name, partition_key="site")], now=clock)


def test_index_fields_are_checked(database: Database, clock: FakeClock) -> None:
    """So is an indexed field."""
    with pytest.raises(StorageError, match="not a field's name"):
        SqliteDocuments(database, [Container("a", partition_key="site", indexed=("a'b",))], now=clock)
