"""The documents of one station, in SQLite."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from shared.errors import ConflictError, StorageError, UnknownMark
from shared.storage.local.database import Database, timestamp
from shared.storage.ports import (
    Changes,
    Container,
    Json,
    Scalar,
    Stored,
    check_field,
    check_limit,
    document_keys,
    document_text,
)

_CONTAINER = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER = re.compile(r"[0-9]{1,18}")
_ONE = "container = ? AND partition = ? AND id = ?"
_ALIVE = "(expires_utc IS NULL OR expires_utc > ?)"
_NEXT_WRITE = "UPDATE document_writes SET last = last + 1"  # in the same transaction as the write it numbers
_THIS_WRITE = "(SELECT last FROM document_writes)"

Condition = tuple[str, list[object]]


class SqliteDocuments:
    """A `DocumentStore` over the given containers; names of containers are lower-case letters, digits and `_`.

    Every field in `Container.indexed` has two indexes, for queries within one partition and for those over all. Writes
    are numbered, and a mark of `changes` is the number of the last one seen; `page_items` is how many come at once.
    """

    def __init__(
        self,
        database: Database,
        containers: Iterable[Container],
        *,
        now: Callable[[], datetime],
        page_items: int = 500,
    ) -> None:
        self._database = database
        self._page_items = page_items
        self._containers = {container.name: container for container in containers}
        self._now = now
        with database.transaction() as connection:
            for container in self._containers.values():
                for statement in _index_statements(container):
                    connection.execute(statement)

    def create(self, container: Container, body: Json) -> bool:
        """See `DocumentStore.create`."""
        now = self._now()
        with self._database.transaction() as connection:
            connection.execute(_NEXT_WRITE)
            # What expired but was not swept yet is as good as deleted, so it is written over.
            written = connection.execute(
                f"""INSERT INTO documents (container, partition, id, body, etag, written_utc, expires_utc, write_number)
                VALUES (?, ?, ?, ?, ?, ?, ?, {_THIS_WRITE}) ON CONFLICT (container, partition, id) DO UPDATE
                SET body = excluded.body, etag = excluded.etag, written_utc = excluded.written_utc,
                    expires_utc = excluded.expires_utc, write_number = excluded.write_number
                WHERE documents.expires_utc <= excluded.written_utc""",  # noqa: S608 - constants of this module
                (
                    *self._key(container, body),
                    document_text(body),
                    uuid.uuid4().hex,
                    timestamp(now),
                    _expiry(container, now),
                ),
            ).rowcount
        return written > 0

    def get(self, container: Container, partition: str, doc_id: str) -> Stored | None:
        """See `DocumentStore.get`."""
        rows = self._database.rows(
            f"SELECT body, etag FROM documents WHERE {_ONE} AND {_ALIVE}",  # noqa: S608 - constants of this module
            (self._known(container), partition, doc_id, timestamp(self._now())),
        )
        return next((Stored(json.loads(row["body"]), row["etag"]) for row in rows), None)

    def replace(self, container: Container, body: Json, *, etag: str) -> str:
        """See `DocumentStore.replace`."""
        now, new_etag = self._now(), uuid.uuid4().hex
        key = self._key(container, body)
        with self._database.transaction() as connection:
            connection.execute(_NEXT_WRITE)
            written = connection.execute(
                f"""UPDATE documents SET body = ?, etag = ?, written_utc = ?, expires_utc = ?,
                    write_number = {_THIS_WRITE}
                WHERE {_ONE} AND etag = ? AND {_ALIVE}""",  # noqa: S608 - as above
                (document_text(body), new_etag, timestamp(now), _expiry(container, now), *key, etag, timestamp(now)),
            ).rowcount
        if not written:
            raise ConflictError(f"{'/'.join(key)} was written or deleted since it was read: read it again, then decide")
        return new_etag

    def delete(self, container: Container, partition: str, doc_id: str) -> bool:
        """See `DocumentStore.delete`."""
        with self._database.transaction() as connection:
            deleted = connection.execute(
                f"DELETE FROM documents WHERE {_ONE} AND {_ALIVE}",  # noqa: S608 - as above
                (self._known(container), partition, doc_id, timestamp(self._now())),
            ).rowcount
        return deleted > 0

    def query(
        self,
        container: Container,
        *,
        partition: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        since: tuple[str, str] | None = None,
        until: tuple[str, str] | None = None,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Stored]:
        """See `DocumentStore.query`."""
        check_limit(limit)
        conditions: list[Condition] = [
            (f"container = '{self._known(container)}'", []),  # a literal: partial indexes need to see it
            (_ALIVE, [timestamp(self._now())]),
        ]
        if partition is not None:
            conditions.append(("partition = ?", [partition]))
        conditions += [_equals(field, value) for field, value in (where or {}).items()]
        if since is not None:
            conditions.append((f"{_value(since[0])} >= ?", [since[1]]))  # numbers sort before all text
        if until is not None:
            conditions.append((f"{_value(until[0])} >= '' AND {_value(until[0])} < ?", [until[1]]))
        way = "DESC" if descending else "ASC"
        order = [_value(order_by)] if order_by is not None else []
        sql = (
            f"SELECT body, etag FROM documents WHERE {' AND '.join(text for text, _ in conditions)} "  # noqa: S608 - field names are checked in _value, values are parameters
            f"ORDER BY {', '.join(f'{term} {way}' for term in [*order, 'id', 'partition'])} LIMIT ?"
        )
        parameters = [value for _, values in conditions for value in values]
        rows = self._database.rows(sql, [*parameters, -1 if limit is None else limit])
        return [Stored(json.loads(row["body"]), row["etag"]) for row in rows]

    def changes(self, container: Container, *, after: str = "") -> Changes:
        """See `DocumentStore.changes`."""
        since = self._number(self._known(container), after) if after else 0
        rows = self._database.rows(
            f"""SELECT body, etag, write_number FROM documents INDEXED BY documents_written
            WHERE container = ? AND write_number > ? AND {_ALIVE} ORDER BY write_number LIMIT ?""",  # noqa: S608 - as above
            (self._known(container), since, timestamp(self._now()), self._page_items + 1),
        )
        page = rows[: self._page_items]
        last = page[-1]["write_number"] if page else since
        documents = tuple(Stored(json.loads(row["body"]), row["etag"]) for row in page)
        return Changes(documents, f"{container.name}:{last}", more=len(rows) > len(page))

    def sweep(self) -> int:
        """Delete for good what expired, and return how many there were; reads never show it, swept or not."""
        with self._database.transaction() as connection:
            expired = (timestamp(self._now()),)
            return connection.execute("DELETE FROM documents WHERE expires_utc <= ?", expired).rowcount

    def _number(self, container: str, mark: str) -> int:
        """The write that a mark stands for."""
        name, _, number = mark.rpartition(":")
        (row,) = self._database.rows("SELECT last FROM document_writes")
        if name != container or not _NUMBER.fullmatch(number) or int(number) > row["last"]:
            raise UnknownMark(f"{mark[:200]!r} is no mark of the changes of {container}: read them from the start")
        return int(number)

    def _known(self, container: Container) -> str:
        if container.name not in self._containers:
            raise StorageError(f"no container {container.name!r}; there are {', '.join(sorted(self._containers))}")
        return container.name

    def _key(self, container: Container, body: Json) -> tuple[str, str, str]:
        return (self._known(container), *document_keys(container, body))


def _index_statements(container: Container) -> list[str]:
    """Partial expression indexes, for this container alone.

    `container` is a column of theirs though it is always the same, or SQLite would prefer the primary key, and sort.
    """
    if not _CONTAINER.fullmatch(container.name):
        raise StorageError(f"{container.name!r} is not a container's name: use lower-case letters, digits and _")
    only = f"WHERE container = '{container.name}'"
    return [
        f"CREATE INDEX IF NOT EXISTS documents_{container.name}_{field}{suffix} "
        f"ON documents (container, {columns}{_value(field)}, id, partition) {only}"
        for field in container.indexed
        for suffix, columns in (("", ""), ("_in_partition", "partition, "))
    ]


def _value(field: str) -> str:
    """The SQL expression for a top-level field; NULL where it is null or absent."""
    return f"json_extract(body, '$.{check_field(field)}')"


def _equals(field: str, value: Scalar) -> Condition:
    """Equality as JSON has it: json_extract alone would take true for 1, and an object for its text."""
    match value:
        case None:
            return f"{_value(field)} IS NULL", []
        case bool():
            types = "true" if value else "false"
        case str():
            types = "text"
        case _:
            types = "integer', 'real"
    return f"{_value(field)} = ? AND json_type(body, '$.{field}') IN ('{types}')", [value]


def _expiry(container: Container, now: datetime) -> str | None:
    return None if container.ttl_s is None else timestamp(now + timedelta(seconds=container.ttl_s))
