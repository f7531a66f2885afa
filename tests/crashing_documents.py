"""Real local documents whose writes are counted, and can be the process's last act; on a database that is quick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.documents import CONTAINERS
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.ports import Changes, Container, Json
from tests.clock import FakeClock

_QUICK = ("synchronous = OFF", "locking_mode = EXCLUSIVE", "journal_mode = MEMORY")


class Crash(BaseException):
    """The process ends here: nothing in the code under test may catch it."""


class CrashingDocuments(SqliteDocuments):
    """All containers of Haro's, with `writes` and `changes_read` counted; changes come two at a time.

    The write of number `crash_at` (from 1) is the last one: it is done if `after`, and the process is killed.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database, CONTAINERS, now=FakeClock(), page_items=2)  # no container has a time to live
        self.writes = 0
        self.changes_read = 0
        self.crash_at: int | None = None
        self.after = False

    def create(self, container: Container, body: Json) -> bool:
        """See `DocumentStore.create`."""
        with self._write():
            return super().create(container, body)

    def replace(self, container: Container, body: Json, *, etag: str) -> str:
        """See `DocumentStore.replace`."""
        with self._write():
            return super().replace(container, body, etag=etag)

    def delete(self, container: Container, partition: str, doc_id: str) -> bool:
        """See `DocumentStore.delete`."""
        with self._write():
            return super().delete(container, partition, doc_id)

    def changes(self, container: Container, *, after: str = "") -> Changes:
        """See `DocumentStore.changes`."""
        self.changes_read += 1
        return super().changes(container, after=after)

    def snapshot(self) -> dict[tuple[str, str, str], Json]:
        """Every document by container, partition and id."""
        return {
            (container.name, stored.body[container.partition_key], stored.body["id"]): stored.body
            for container in CONTAINERS
            for stored in self.query(container)
        }

    @contextmanager
    def _write(self) -> Iterator[None]:
        self.writes += 1
        if self.crash_at is not None and self.writes >= self.crash_at + self.after:
            raise Crash
        yield
        if self.writes == self.crash_at:
            raise Crash


@contextmanager
def quick_database() -> Iterator[Database]:
    """An empty database that waits for no disk and no other process: neither is part of what is tested."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "haro.sqlite"
        path.write_bytes(_empty_database())
        with Database(path) as database:
            for pragma in _QUICK:
                database.rows(f"PRAGMA {pragma}")
            yield database


@contextmanager
def open_documents() -> Iterator[CrashingDocuments]:
    """Empty documents on such a database."""
    with quick_database() as database:
        yield CrashingDocuments(database)


@cache
def _empty_database() -> bytes:
    """The file with its tables and indexes, made once: that takes longer than most tests."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "haro.sqlite"
        with Database(path) as database:
            SqliteDocuments(database, CONTAINERS, now=FakeClock())
        return path.read_bytes()
