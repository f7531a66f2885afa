"""The one SQLite file of a station: queue and documents together, so that what is committed survives in order.

Write-ahead logging with `synchronous=FULL`: a killed process loses nothing that was committed, and neither does a power
cut on a disk that keeps its word. WAL needs a real local disk; a network share cannot hold this file.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from filelock import FileLock

from shared.errors import StorageError, StorageFullError

# One entry per schema version, each a list of statements that lead there from the version before. Only ever append.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # A live message is due when visible_utc has come; till then it is locked (lock_token set) or its retry waits.
        """CREATE TABLE messages (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            queue TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL,
            enqueued_utc TEXT NOT NULL, visible_utc TEXT NOT NULL,
            delivery_count INTEGER NOT NULL DEFAULT 0, lock_token TEXT, reason TEXT, dead_utc TEXT)""",
        "CREATE INDEX messages_live ON messages (queue, seq) WHERE dead_utc IS NULL",
        "CREATE INDEX messages_dead ON messages (queue, dead_utc) WHERE dead_utc IS NOT NULL",
        "CREATE INDEX messages_locked ON messages (queue, lock_token) WHERE lock_token IS NOT NULL",
        "CREATE TABLE sent_ids (queue TEXT, id TEXT, sent_utc TEXT NOT NULL, PRIMARY KEY (queue, id)) WITHOUT ROWID",
        "CREATE INDEX sent_ids_by_time ON sent_ids (queue, sent_utc)",
        """CREATE TABLE documents (
            container TEXT NOT NULL, partition TEXT NOT NULL, id TEXT NOT NULL,
            body TEXT NOT NULL, etag TEXT NOT NULL, written_utc TEXT NOT NULL, expires_utc TEXT,
            PRIMARY KEY (container, partition, id))""",
        "CREATE INDEX documents_expiring ON documents (expires_utc) WHERE expires_utc IS NOT NULL",
    ),
    (
        # Writes of documents are numbered, whatever the clock does; what is there is numbered by the time of its write.
        "CREATE TABLE document_writes (last INTEGER NOT NULL)",
        "INSERT INTO document_writes SELECT COUNT(*) FROM documents",
        "ALTER TABLE documents ADD COLUMN write_number INTEGER NOT NULL DEFAULT 0",
        """UPDATE documents SET write_number = numbered.number
        FROM (SELECT rowid AS row, ROW_NUMBER() OVER (ORDER BY written_utc, rowid) AS number FROM documents) AS numbered
        WHERE documents.rowid = numbered.row""",
        "CREATE INDEX documents_written ON documents (container, write_number)",
    ),
    (
        # The order of receiving: first tries before retries.
        "DROP INDEX messages_live",
        "CREATE INDEX messages_live ON messages (queue, delivery_count > 0, visible_utc) WHERE dead_utc IS NULL",
    ),
)
SCHEMA_VERSION = len(_MIGRATIONS)

_WHAT_TO_DO: dict[int, str] = {
    sqlite3.SQLITE_BUSY: "another program has held it for too long; close what else has the file open",
    sqlite3.SQLITE_LOCKED: "another program has held it for too long; close what else has the file open",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it aside with its -wal and -shm files, or put back a copy",
    sqlite3.SQLITE_NOTADB: "it is no SQLite database; move it aside or choose another data folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that the folder exists and may be written",
    sqlite3.SQLITE_READONLY: "it cannot be written; check the permissions of the file and its folder",
    sqlite3.SQLITE_PERM: "it cannot be opened; check the permissions of the file and its folder",
    sqlite3.SQLITE_IOERR: "the disk does not answer as it should; check its cable, its health and the system's log",
}
_DISK_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)  # the second: no room for the -shm file


def timestamp(moment: datetime) -> str:
    """The time as stored: UTC in ISO-8601, always with microseconds, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class Database:
    """One connection for all threads of the process, one thread at a time; other processes may have the file open too.

    A commit costs one fsync, far more than waiting for another thread, so nothing is won by a connection per thread.

    Args:
        path: The file; it is made, with its folder, when it is not there.
        busy_timeout_s: How long to wait for another process that is writing.

    Raises:
        StorageError: The file cannot be used; the message says why and what to do.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 30.0) -> None:
        self._path = path
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Of two processes that turn a new file to WAL at once, SQLite lets one fail: so they take turns.
            with FileLock(path.with_name(f"{path.name}.opening"), timeout=busy_timeout_s), self._explained():
                self._connection = self._opened(busy_timeout_s)
        except OSError as error:
            raise StorageError(f"cannot open database {path}: {error}; choose another data folder") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; safe to call twice."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything done on the connection inside is committed together, or, after any error, not at all.

        The write lock is taken at the start, so that what was read inside cannot change before it is written.
        """
        with self._lock, self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # SQLite ends the transaction by itself after some errors, a full disk among them.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """All rows of one query, read from one consistent state."""
        with self._lock, self._explained():
            return self._connection.execute(sql, parameters).fetchall()

    def _opened(self, busy_timeout_s: float) -> sqlite3.Connection:
        # Autocommit: transactions begin and end where `transaction` says so, never behind our back.
        connection = sqlite3.connect(self._path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            version = _version(connection, self._path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, version)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)  # absent when Python itself objects, as after close()
            if code in _DISK_FULL:
                raise StorageFullError(
                    f"no room left for database {self._path}: free some space on its disk"
                ) from error
            advice = _WHAT_TO_DO.get(code & 0xFF) if code is not None else None  # the low byte is the primary code
            raise StorageError(
                f"database {self._path}: {advice or 'it did not do what was asked'} ({error})"
            ) from error


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StorageError(
            f"database {path} was made by a newer Haro (schema {version}, this one knows {SCHEMA_VERSION}): "
            "update Haro, or choose another data folder"
        )
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    if version < SCHEMA_VERSION:
        connection.execute("BEGIN IMMEDIATE")  # a kill in the middle rolls it back
        for statement in [s for migration in _MIGRATIONS[version:] for s in migration]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
