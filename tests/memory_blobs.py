"""A blob store in memory, for tests of a stage alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import quote

from shared.errors import BlobNotFound, ConflictError, StorageFullError
from shared.storage.ports import Blob, BlobInfo, check_blob_name


class MemoryBlobs:
    """A `BlobStore`. Its `blobs` are in order of writing; `full` are prefixes there is no room for."""

    def __init__(self, blobs: Mapping[str, bytes] | None = None, *, full: Sequence[str] = ()) -> None:
        self.blobs = dict(blobs or {})
        self.full = tuple(full)
        self._modified: dict[str, datetime] = {}
        self._lock = threading.RLock()

    def put(self, name: str, data: bytes, *, overwrite: bool = True, metadata: Mapping[str, str] | None = None) -> bool:
        """See `BlobStore.put`."""
        check_blob_name(name)
        if name.startswith(self.full) and self.full:
            raise StorageFullError(f"{name}: no room left on the disk")
        with self._lock:
            if not overwrite and name in self.blobs:
                return False
            self.blobs[name] = bytes(data)
            self._modified[name] = datetime.now(UTC)
            return True

    def get(self, name: str) -> bytes:
        """See `BlobStore.get`."""
        check_blob_name(name)
        try:
            return self.blobs[name]
        except KeyError as error:
            raise BlobNotFound(f"no blob {name}") from error

    def copy_to(self, name: str, target: BinaryIO) -> None:
        """See `BlobStore.copy_to`."""
        target.write(self.get(name))

    def get_if_changed(self, name: str, *, etag: str | None) -> Blob | None:
        """See `BlobStore.get_if_changed`."""
        data = self.get(name)
        return None if etag == _etag(data) else Blob(data, _etag(data))

    def replace(self, name: str, data: bytes, *, etag: str) -> str:
        """See `BlobStore.replace`."""
        check_blob_name(name)
        with self._lock:
            if name not in self.blobs or _etag(self.blobs[name]) != etag:
                raise ConflictError(f"blob {name} is another by now")
            self.put(name, data)
        return _etag(data)

    def exists(self, name: str) -> bool:
        """See `BlobStore.exists`."""
        check_blob_name(name)
        return name in self.blobs

    def delete(self, name: str) -> bool:
        """See `BlobStore.delete`."""
        check_blob_name(name)
        return self.blobs.pop(name, None) is not None

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """See `BlobStore.list`."""
        for name in sorted(self.blobs):
            if name.startswith(prefix):
                yield BlobInfo(name, len(self.blobs[name]), self._modified.get(name, datetime.now(UTC)))

    def uri(self, name: str) -> str:
        """See `BlobStore.uri`."""
        check_blob_name(name)
        return f"https://blobs.example/{quote(name)}"

    def link(self, name: str, *, valid_s: float) -> str:
        """See `BlobStore.link`: nothing listens there."""
        return f"{self.uri(name)}?valid_s={valid_s:g}"


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
