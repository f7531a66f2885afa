"""The three ports every stage writes through: a queue of messages, a store of blobs, a store of documents.

Adapters live in `storage/local` and `storage/azure`; the suites in `tests/contract` say what all of them must do. The
names and sizes that every adapter accepts, and nothing beyond, are checked by the functions at the end. All methods may
be called from several threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.errors import StorageError

Json = dict[str, Any]
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Message:
    """What is sent: `id` (1-128 characters) makes a repeat recognisable, `body` is JSON text well under 64 KB."""

    id: str
    body: str


@dataclass(frozen=True)
class Delivery:
    """What is received: a message, locked for its receiver until `locked_until_utc`.

    `delivery_count` is 1 on the first delivery. `lock_token` identifies this delivery when it is settled.
    """

    message: Message
    delivery_count: int
    enqueued_utc: datetime
    locked_until_utc: datetime
    lock_token: str


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be processed, and why."""

    message: Message
    reason: str
    delivery_count: int
    dead_lettered_utc: datetime


@dataclass(frozen=True)
class QueueStats:
    """How the queue stands: messages waiting or locked, dead letters, and the age of the oldest waiting one.

    A message abandoned with a delay is waiting. The age counts from when it was sent (or replayed); it is 0 when none
    waits.
    """

    active: int
    dead: int
    oldest_age_s: float


class MessageQueue(Protocol):
    """At-least-once delivery with locks, as Service Bus gives it (peek-lock)."""

    def send(self, messages: Sequence[Message]) -> None:
        """Put messages on the queue, all or none.

        A message whose id was sent before, within the duplicate-detection window, is dropped silently, also when the
        first one has been completed meanwhile. Raises StorageError for a message that is not allowed (see
        `check_message`).
        """
        ...

    def receive(self) -> Delivery | None:
        """Lock and return the oldest message that is due, or None.

        The oldest is the one sent first; one that was abandoned keeps its place, one that was replayed takes a new one.
        A message not settled before its lock ends is delivered again. One that has been delivered `max_deliveries`
        times without being settled goes to the dead letters instead.
        """
        ...

    def complete(self, delivery: Delivery) -> None:
        """Remove the message for good.

        Raises ConflictError when the lock was lost meanwhile: its time was over, or the delivery was settled already.
        """
        ...

    def abandon(self, delivery: Delivery, *, reason: str, delay_s: float = 0.0) -> None:
        """Give the message back, to be delivered again after `delay_s`.

        On its last delivery the message goes to the dead letters with `reason`. Raises ConflictError when the lock was
        lost.
        """
        ...

    def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """Set the message aside with its reason. Raises ConflictError when the lock was lost."""
        ...

    def dead_letters(self) -> list[DeadLetter]:
        """All messages set aside, oldest first."""
        ...

    def replay(self, message_ids: Iterable[str]) -> int:
        """Put the dead letters of these ids back on the queue as if new; returns how many there were.

        They keep their ids, are not taken for duplicates, and their deliveries are counted from 1 again.
        """
        ...

    def stats(self) -> QueueStats:
        """How the queue stands now."""
        ...


@dataclass(frozen=True)
class BlobInfo:
    """A blob's name, size and last write."""

    name: str
    size_bytes: int
    modified_utc: datetime


class BlobStore(Protocol):
    """Named bytes. A name is `container/path`: lower-case letters, digits and `-_./`, never starting with `/`, no `..`.

    `check_blob_name` has the whole rule; every method that takes a name raises StorageError for one that breaks it. No
    blob may lie under the name of another (`a/b/c` beside `a/b`).
    """

    def put(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        """Write the blob, wholly or not at all.

        With `overwrite=False` an existing blob is left as it is. Returns whether this call wrote it: of several that
        race for one name, exactly one does. Raises StorageFullError when there is no room.
        """
        ...

    def get(self, name: str) -> bytes:
        """The blob's bytes. Raises BlobNotFound."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a blob of that name."""
        ...

    def delete(self, name: str) -> bool:
        """Remove the blob; returns whether there was one."""
        ...

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """The blobs whose names start with `prefix` (which need not end at a `/`), in order of name."""
        ...

    def uri(self, name: str) -> str:
        """The URI under which people and tools find the blob; its path ends with the name."""
        ...


@dataclass(frozen=True)
class Container:
    """A set of documents: `partition_key` is a top-level field of theirs.

    `ttl_s`, where set, ends documents that long after their last write. `indexed` names the top-level fields that
    queries filter or order by.
    """

    name: str
    partition_key: str
    ttl_s: int | None = None
    indexed: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Stored:
    """A document as it was read: `etag` is what a conditional write must show."""

    body: Json
    etag: str


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


MAX_MESSAGE_BYTES = 64 * 1024
_MAX_MESSAGE_ID = 128  # Service Bus: MessageId
_MAX_BLOB_NAME = 512
_BLOB_CONTAINER = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")  # Azure's rule for containers
_BLOB_PATH_PART = re.compile(r"(?!\.)(?!.*\.\.)[a-z0-9._-]{1,200}(?<!\.)")  # no hidden file, nothing relative
_MAX_DOCUMENT_KEY = 255
_NOT_IN_DOCUMENT_ID = re.compile(r"[/\\?#\x00-\x1f]")  # Cosmos DB: ids stand in URLs


def check_message(message: Message) -> None:
    """Raise StorageError unless the id is 1-128 characters and the body valid Unicode of at most 64 KB in UTF-8."""
    if not 1 <= len(message.id) <= _MAX_MESSAGE_ID:
        raise StorageError(f"message id {message.id[:200]!r} must have 1 to {_MAX_MESSAGE_ID} characters")
    try:
        size = len(message.id.encode()) + len(message.body.encode())
    except UnicodeEncodeError as error:
        raise StorageError(f"message {message.id!r} holds characters that UTF-8 cannot carry: {error}") from error
    if size > MAX_MESSAGE_BYTES:
        raise StorageError(f"message {message.id!r} has {size} bytes; send a pointer of at most {MAX_MESSAGE_BYTES}")


def check_blob_name(name: str) -> None:
    """Raise StorageError unless `name` is a container and one or more path parts, safe as a file name and in a URL.

    The container has 3-63 lower-case letters, digits and single inner `-`. Each part has 1-200 lower-case letters,
    digits and `-_.`, neither starts nor ends with `.`, and holds no `..`. The whole has at most 512 characters.
    """
    container, *parts = name.split("/")
    allowed = _BLOB_CONTAINER.fullmatch(container) and parts and all(map(_BLOB_PATH_PART.fullmatch, parts))
    if not allowed or len(name) > _MAX_BLOB_NAME:
        raise StorageError(
            f"{name[:200]!r} is not a blob name: use container/path of lower-case letters, digits and -_. "
            f"with no part that starts or ends with '.', {_MAX_BLOB_NAME} characters at most"
        )


def document_keys(container: Container, body: Json) -> tuple[str, str]:
    r"""The document's partition and id.

    Raises StorageError unless both are strings of 1 to 255 characters, the id with none of `/ \ ? #` or control ones.
    """
    partition, doc_id = body.get(container.partition_key), body.get("id")
    for key, value in ((container.partition_key, partition), ("id", doc_id)):
        if not isinstance(value, str) or not 1 <= len(value) <= _MAX_DOCUMENT_KEY:
            raise StorageError(
                f"a document for {container.name} needs a string {key!r} of 1 to {_MAX_DOCUMENT_KEY} characters, "
                f"but has {repr(value)[:200]}"
            )
    if _NOT_IN_DOCUMENT_ID.search(str(doc_id)):
        raise StorageError(
            f"document id {doc_id!r} must not hold / \\ ? # or control characters: use ':' to join parts"
        )
    return str(partition), str(doc_id)
