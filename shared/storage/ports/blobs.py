"""The port of a blob store: named bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from shared.errors import StorageError

_MAX_BLOB_NAME = 512
_BLOB_CONTAINER = re.compile(r"[a-z0-9](-?[a-z0-9]){2,62}")  # Azure's rule for containers
_BLOB_PATH_PART = re.compile(r"(?!\.)(?!.*\.\.)[a-z0-9._-]{1,200}(?<!\.)")  # no hidden file, nothing relative


@dataclass(frozen=True)
class BlobInfo:
    """A blob's name, size and last write."""

    name: str
    size_bytes: int
    modified_utc: datetime


@dataclass(frozen=True)
class Blob:
    """A blob's bytes, and the etag of that content: whoever writes the blob next changes it."""

    data: bytes
    etag: str


class BlobStore(Protocol):
    """Named bytes. A name is `container/path`: lower-case letters, digits and `-_./`, never starting with `/`, no `..`.

    `check_blob_name` has the whole rule; every method that takes a name raises StorageError for one that breaks it. No
    blob may lie under the name of another (`a/b/c` beside `a/b`).
    """

    def put(self, name: str, data: bytes, *, overwrite: bool = True, metadata: Mapping[str, str] | None = None) -> bool:
        """Write the blob, wholly or not at all. `metadata` is for tools outside (trace context): a store may drop it.

        With `overwrite=False` an existing blob is left as it is. Returns whether this call wrote it: of several that
        race for one name, exactly one does. Raises StorageFullError when there is no room.
        """
        ...

    def get(self, name: str) -> bytes:
        """The blob's bytes. Raises BlobNotFound."""
        ...

    def copy_to(self, name: str, target: BinaryIO) -> None:
        """Write the blob's bytes to an open file, piece by piece: a large one need not fit in memory.

        Raises BlobNotFound, before anything is written.
        """
        ...

    def get_if_changed(self, name: str, *, etag: str | None) -> Blob | None:
        """The blob as it is now, or None while it is still the one of that etag. Raises BlobNotFound."""
        ...

    def replace(self, name: str, data: bytes, *, etag: str) -> str:
        """Write the blob in place of the one of that etag, and return the new one's.

        Raises ConflictError when the blob is another one by now, or gone. A store that had to ask twice may raise it
        although its first request wrote the blob: who gets it reads the blob, then decides.
        """
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
        """The blob's lasting URI; its path ends with the name. Who reads it may need leave to do so."""
        ...

    def link(self, name: str, *, valid_s: float) -> str:
        """An address that opens the blob for whoever holds it, for so long; where there is no such thing, its URI."""
        ...


def check_blob_name(name: str) -> None:
    """Raise StorageError unless `name` is a container and one or more path parts, safe as a file name and in a URL.

    The container has 3-63 lower-case letters, digits and single inner `-`. Each part has 1-200 lower-case letters,
    digits and `-_.`, neither starts nor ends with `.`, and holds no `..`. The whole has at most 512 characters.
    """
    if not is_blob_name(name):
        raise StorageError(
            f"{name[:200]!r} is not a blob name: use container/path of lower-case letters, digits and -_. "
            f"with no part that starts or ends with '.', {_MAX_BLOB_NAME} characters at most"
        )


def is_blob_name(name: str) -> bool:
    """Whether `check_blob_name` lets the name pass: what people put into a store beside Haro's blobs often is none."""
    container, *parts = name.split("/")
    return (
        len(name) <= _MAX_BLOB_NAME
        and _BLOB_CONTAINER.fullmatch(container) is not None
        and bool(parts)
        and all(map(_BLOB_PATH_PART.fullmatch, parts))
    )
