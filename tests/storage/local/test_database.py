"""The SQLite file: transactions, versions, and errors that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import StorageError, StorageFullError
from shared.storage.local.database import _MIGRATIONS, SCHEMA_VERSION, Database, timestamp
from shared.storage.local.documents import SqliteDocuments
from shared.storage.ports import Container

INSERT = "INSERT INTO sent_ids (queue, id, sent_utc) VALUES ('q', ?, '')"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is to lie, in a folder that is not there yet."""
    return tmp_path / "data" / "haro.sqlite"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """A new database."""
    with Database(path) as database:
        yield database


def _ids(database: Database) -> list[str]:
    return [row["id"] for row in database.rows("SELECT id FROM sent_ids ORDER BY id")]


def test_opening_again_keeps_what_is_there(path: Path) -> None:
    """A file closed and opened again has its rows, its version and its write-ahead log."""
    with Database(path) as database, database.transaction() as connection:
        connection.execute(INSERT, ("a",))
    with Database(path) as database:
        assert _ids(database) == ["a"]
        assert database.rows("PRAGMA user_version")[0][0] == SCHEMA_VERSION
        assert database.rows("PRAGMA journal_mode")[0][0] == "wal"
        assert database.rows("PRAGMA synchronous")[0][0] == 2


def test_an_error_takes_back_the_whole_transaction(database: Database) -> None:
    """Whatever error leaves the block, nothing of it stays, and the database goes on working."""

    def write(*ids: str | None) -> None:
        with database.transaction() as connection:
            for row_id in ids:
                if row_id is None:
                    raise KeyboardInterrupt
                connection.execute(INSERT, (row_id,))

    with pytest.raises(KeyboardInterrupt):
        write("a", None)
    with pytest.raises(StorageError, match="UNIQUE"):
        write("b", "b")
    with database.transaction() as connection:
        connection.execute(INSERT, ("c",))
    assert _ids(database) == ["c"]


def test_a_newer_schema_is_refused_untouched(path: Path) -> None:
    """A file of a newer Haro is not opened, the message says what to do, and the file stays as it is."""
    Database(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 3}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match=rf"newer Haro \(schema {SCHEMA_VERSION + 3}.*update Haro"):
        Database(path)
    assert path.read_bytes() == before


def test_a_database_of_the_first_version_is_taken_over(path: Path) -> None:
    """What a station stored before writes were numbered is all there, and its changes come in the order of time."""
    clips = Container("clips", partition_key="site")
    path.parent.mkdir()
    old = sqlite3.connect(path)
    for statement in _MIGRATIONS[0]:
        old.execute(statement)
    for doc_id, minute in (("late", 3), ("early", 1), ("middle", 2)):
        written = timestamp(datetime(2026, 3, 20, 19, minute, tzinfo=UTC))
        body = f'{{"id": "{doc_id}", "site": "x"}}'
        row = ("clips", "x", doc_id, body, f"etag-{doc_id}", written)
        old.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
    old.execute("PRAGMA user_version = 1")
    old.commit()
    old.close()

    with Database(path) as database:
        documents = SqliteDocuments(database, [clips], now=lambda: datetime(2026, 3, 20, 20, tzinfo=UTC))
        changes = documents.changes(clips)
        assert [one.body["id"] for one in changes.documents] == ["early", "middle", "late"]
        documents.replace(clips, {"id": "early", "site": "x"}, etag="etag-early")
        assert documents.create(clips, {"id": "new", "site": "x"})
        found = documents.changes(clips, after=changes.mark)
        assert [one.body["id"] for one in found.documents] == ["early", "new"]


def test_a_full_disk_is_said_and_survived(database: Database) -> None:
    """When SQLite finds no room it is StorageFullError, nothing is half written, and with room again it goes on."""
    pages = database.rows("PRAGMA page_count")[0][0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageFullError, match="no room left for database"), database.transaction() as connection:
        connection.executemany(INSERT, [(f"{n}" + "x" * 500,) for n in range(1000)])
    assert _ids(database) == []
    database.rows("PRAGMA max_page_count = 1000000")
    with database.transaction() as connection:
        connection.execute(INSERT, ("a",))
    assert _ids(database) == ["a"]


def test_held_by_another_program(path: Path) -> None:
    """A file that another program keeps locked is a StorageError that says so; a reader is not disturbed."""
    with Database(path, busy_timeout_s=0.01) as database:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another program"), database.transaction():
            pass
        assert _ids(database) == []
        other.close()
        with database.transaction() as connection:
            connection.execute(INSERT, ("a",))


def test_no_database_at_all(path: Path) -> None:
    """A file that holds something else is refused with what to do, and not overwritten."""
    path.parent.mkdir()
    path.write_text("these are my holiday plans, do not overwrite them " * 100)
    with pytest.raises(StorageError, match="no SQLite database; move it aside"):
        Database(path)
    assert path.read_text().startswith("these are my holiday plans")


def test_a_damaged_file(path: Path) -> None:
    """Damage in the middle of the file is named as such when it is met."""
    with Database(path) as database, database.transaction() as connection:
        connection.executemany(INSERT, [(f"{n}" + "x" * 500,) for n in range(1000)])
    content = bytearray(path.read_bytes())
    content[4096 * 20 : -4096] = b"\xff" * (len(content) - 4096 * 21)
    path.write_bytes(content)
    with Database(path) as database, pytest.raises(StorageError, match="damaged; move it aside"):
        _ids(database)


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """Where no folder can be made, the error says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose another data folder"):
        Database(tmp_path / "file" / "haro.sqlite")


def test_after_close(database: Database) -> None:
    """A thread that is late at shutdown gets a StorageError, and closing twice is no error."""
    database.close()
    database.close()
    with pytest.raises(StorageError, match="closed"), database.transaction():
        pass
    with pytest.raises(StorageError, match="closed"):
        database.rows("SELECT 1")


MOMENTS = st.integers(0, 7_000_000_000_000_000).map(
    lambda us: datetime(1970, 1, 2, tzinfo=UTC) + timedelta(microseconds=us)
)


@given(MOMENTS, MOMENTS, st.integers(-14, 14))
def test_timestamps_sort_as_times(one: datetime, other: datetime, hours: int) -> None:
    """The order of stored times is the order of time, whatever zone they came in, and they can be read back exactly."""
    elsewhere = other.astimezone(timezone(timedelta(hours=hours)))
    assert (timestamp(one) < timestamp(elsewhere)) == (one < other)
    assert datetime.fromisoformat(timestamp(elsewhere)) == other
