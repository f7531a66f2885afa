"""The port of a document store: JSON documents with optimistic concurrency."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.errors import StorageError

Json = dict[str, Any]
Scalar = str | int | float | bool | None

_MAX_DOCUMENT_KEY = 255
_NOT_IN_DOCUMENT_ID = re.compile(r"[/\\?#\x00-\x1f]")  # Cosmos DB: ids stand in URLs
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Vector:
    """A field of documents that holds a vector of so many 32-bit numbers, found again by cosine distance."""

    field: str
    dimensions: int


@dataclass(frozen=True)
class Container:
    """A set of documents: `partition_key` is a top-level field of theirs.

    `ttl_s`, where set, ends documents that long after their last write. `indexed` names the top-level fields that
    queries filter or order by. `vector` is what similar documents are found by, where the store can do that.
    """

    name: str
    partition_key: str
    ttl_s: int | None = None
    indexed: tuple[str, ...] = field(default=())
    vector: Vector | None = None


@dataclass(frozen=True)
class Stored:
    """A document as it was read: `etag` is what a conditional write must show."""

    body: Json
    etag: str


@dataclass(frozen=True)
class Changes:
    """Documents written since a mark, the mark to go on from, and whether there is more at once."""

    documents: tuple[Stored, ...]
    mark: str
    more: bool


class DocumentStore(Protocol):
    """JSON documents with optimistic concurrency, as Cosmos DB gives them. Every document has a string `id`.

    The pair (partition key value, `id`) is unique in a container; `document_keys` says what they may be.
    What is read equals what was written, with nothing added. A document whose time is over is as good as deleted.
    Methods raise StorageError for a body that is not JSON or lacks its keys, and for an unknown container.
    """

    def create(self, container: Container, body: Json) -> bool:
        """Write the document if there is none of its id; returns whether this call wrote it."""
        ...

    def get(self, container: Container, partition: str, doc_id: str) -> Stored | None:
        """The document, or None."""
        ...

    def replace(self, container: Container, body: Json, *, etag: str) -> str:
        """Write over the document if it still carries `etag`; returns the new one, which no earlier write had.

        Raises ConflictError when it was written or deleted meanwhile.
        """
        ...

    def delete(self, container: Container, partition: str, doc_id: str) -> bool:
        """Remove the document; returns whether there was one."""
        ...

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
        """Documents whose top-level fields equal those in `where`.

        In `where`, None stands for a field that is null or absent, and True and 1 differ. `since` is (field, value)
        with value included, `until` the same with value excluded; both compare strings, which for our ISO-8601 UTC
        times is the order of time, and leave out documents whose field is no string. `order_by` names a top-level field
        holding strings or numbers; documents without it come first. Ties, or everything when there is no `order_by`, go
        by `id`; `descending` turns the whole order round. Raises StorageError for a field name that is not letters,
        digits and `_`.
        """
        ...

    def changes(self, container: Container, *, after: str = "") -> Changes:
        """What was created or replaced since the mark `after` (`""`: ever), each document once, as it now is.

        Documents of one partition come in the order of their last writes. What was deleted meanwhile is left out. One
        call may return only a part: `more` is then true, and it may be true where nothing is left. Raises UnknownMark
        for a mark that this container never gave.
        """
        ...


def document_keys(container: Container, body: Json) -> tuple[str, str]:
    r"""The document's partition and id.

    Raises StorageError unless both are strings of 1 to 255 characters, the id with none of `/ \ ? #` or control ones,
    and neither `.` nor `..`.
    """
    partition, doc_id = body.get(container.partition_key), body.get("id")
    for key, value in ((container.partition_key, partition), ("id", doc_id)):
        if not isinstance(value, str) or not 1 <= len(value) <= _MAX_DOCUMENT_KEY:
            raise StorageError(
                f"a document for {container.name} needs a string {key!r} of 1 to {_MAX_DOCUMENT_KEY} characters, "
                f"but has {repr(value)[:200]}"
            )
    if _NOT_IN_DOCUMENT_ID.search(str(doc_id)) or doc_id in {".", ".."}:
        raise StorageError(
            f"document id {doc_id!r} must not be . or .., nor hold / \\ ? # or control characters: join parts with ':'"
        )
    return str(partition), str(doc_id)


def document_text(body: Json) -> str:
    """The document as JSON text. Raises StorageError when it is not JSON, which knows no NaN."""
    try:
        return json.dumps(body, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StorageError(f"document {body.get('id')!r} is not JSON: {error}") from error


def check_field(field_name: str) -> str:
    """The name, where it may stand in a query. Raises StorageError unless it is letters, digits and `_`."""
    if not _FIELD.fullmatch(field_name):
        raise StorageError(f"{field_name!r} is not a field's name: use letters, digits and _")
    return field_name


def check_limit(limit: int | None) -> None:
    """Raise StorageError for a negative limit."""
    if limit is not None and limit < 0:
        raise StorageError(f"a query's limit must not be negative, but is {limit}")
