"""The blobs of one station: files under one folder, each written wholly or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Protocol

from filelock import FileLock

from shared.errors import BlobNotFound, ConflictError, StorageError, StorageFullError
from shared.storage.ports import Blob, BlobInfo, check_blob_name, is_blob_name

RESERVED = ("clips/",)  # what may go again stops at the reserve; detections and results are what it is kept for
_TEMPORARY = ".tmp"  # no blob name starts with a dot
_REPLACE_LOCK = ".replace.lock"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
_ATTEMPTS = 100


class Usage(Protocol):
    """How full a disk is, as `shutil.disk_usage` says it."""

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        ...


DiskUsage = Callable[[Path], Usage]


class FolderBlobs:
    """A `BlobStore` in a folder, on a file system with hard links (ext4, APFS, NTFS: not FAT).

    A blob is written to a temporary file on the same disk, synced, and then moved or linked to its name; the folder is
    synced too, so that a power cut cannot take back what `put` has promised.

    Args:
        root: The folder; it is made when it is not there.
        min_free_bytes: The reserve: `clips/` and `detections/` are refused when less than this would stay free.
        disk_usage: How full the disk of a folder is.
    """

    def __init__(self, root: Path, *, min_free_bytes: int, disk_usage: DiskUsage = shutil.disk_usage) -> None:
        self.root = root.resolve()
        self._min_free_bytes = min_free_bytes
        self._disk_usage = disk_usage
        self._temporary = self.root / _TEMPORARY
        with _explained(f"blob folder {root}"):
            self._temporary.mkdir(parents=True, exist_ok=True)

    def put(
        self,
        name: str,
        data: bytes,
        *,
        overwrite: bool = True,
        metadata: Mapping[str, str] | None = None,  # noqa: ARG002 - a file has no room for it
    ) -> bool:
        """See `BlobStore.put`. Metadata is dropped."""
        path = self._path(name)
        with _explained(f"blob {name}"):
            if not overwrite and path.is_file():
                return False
            if name.startswith(RESERVED):
                self._refuse_below_reserve(name, len(data))
            temporary = self._temporary / uuid.uuid4().hex
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                return self._publish(temporary, path, overwrite=overwrite)
            finally:
                temporary.unlink(missing_ok=True)

    def get(self, name: str) -> bytes:
        """See `BlobStore.get`."""
        path = self._path(name)
        with _explained(f"blob {name}"), self._existing(name, path):
            return path.read_bytes()

    def copy_to(self, name: str, target: BinaryIO) -> None:
        """See `BlobStore.copy_to`."""
        path = self._path(name)
        with _explained(f"blob {name}"), self._existing(name, path), path.open("rb") as source:
            shutil.copyfileobj(source, target)

    def get_if_changed(self, name: str, *, etag: str | None) -> Blob | None:
        """See `BlobStore.get_if_changed`."""
        data = self.get(name)
        found = _etag(data)
        return None if found == etag else Blob(data, found)

    def replace(self, name: str, data: bytes, *, etag: str) -> str:
        """See `BlobStore.replace`. One process at a time does it; a `put` at that very moment is not seen."""
        with _explained(f"blob {name}"), FileLock(self.root / _REPLACE_LOCK):
            try:
                found = _etag(self.get(name))
            except BlobNotFound:
                found = None
            if found != etag:
                raise ConflictError(f"blob {name} is not what it was when it was read: read it again, then decide")
            self.put(name, data)
        return _etag(data)

    def exists(self, name: str) -> bool:
        """See `BlobStore.exists`."""
        path = self._path(name)
        with _explained(f"blob {name}"):
            return path.is_file()

    def delete(self, name: str) -> bool:
        """See `BlobStore.delete`. Folders that become empty go too."""
        path = self._path(name)
        with _explained(f"blob {name}"):
            try:
                path.unlink()
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                return False
        with suppress(OSError):  # the first folder that is not empty ends it
            for folder in path.relative_to(self.root).parents[:-1]:
                (self.root / folder).rmdir()
        return True

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly in folder `prefix` (both ending in `/`), sorted; no file is looked at."""
        return [prefix + key for key, _ in _entries(self.root / prefix) if key.endswith("/")]

    def uri(self, name: str) -> str:
        """See `BlobStore.uri`: a file:// URI."""
        return self._path(name).as_uri()

    def link(self, name: str, *, valid_s: float) -> str:  # noqa: ARG002 - a file has no end
        """See `BlobStore.link`: its URI."""
        return self.uri(name)

    def remove_temporary_files(self) -> int:
        """Remove what killed writers left behind, and return how many files there were.

        For the start of a process that knows itself alone (it holds the station's lock file): a temporary file of a
        living writer must not be taken away.
        """
        with _explained(f"blob folder {self.root}"):
            leftovers = list(self._temporary.iterdir())
            for leftover in leftovers:
                leftover.unlink(missing_ok=True)
        return len(leftovers)

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """See `BlobStore.list`. Blobs that come or go meanwhile may or may not be seen."""
        for name, entry in _walk(self.root, "", prefix):
            with _explained(f"blob {name}"), suppress(FileNotFoundError):  # deleted since the folder was read
                info = entry.stat(follow_symlinks=False)
                if S_ISREG(info.st_mode):
                    yield BlobInfo(name, info.st_size, datetime.fromtimestamp(info.st_mtime, UTC))

    def free_bytes(self) -> int:
        """How much may still be written to the disk, the reserve included."""
        with _explained(f"blob folder {self.root}"):
            return self._disk_usage(self.root).free

    def _path(self, name: str) -> Path:
        check_blob_name(name)
        path = self.root / name
        if not path.resolve().is_relative_to(self.root):
            raise StorageError(
                f"blob {name} lies behind a symbolic link that leads out of {self.root}: remove the link"
            )
        return path

    @contextmanager
    def _existing(self, name: str, path: Path) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if error.filename is not None and Path(error.filename) != path:
                raise
            raise BlobNotFound(f"no blob {name} in {self.root}") from error

    def _refuse_below_reserve(self, name: str, size: int) -> None:
        free = self.free_bytes()
        if free - size < self._min_free_bytes:
            raise StorageFullError(
                f"no room for blob {name} ({size} bytes): {free} bytes are free in {self.root}, and "
                f"{self._min_free_bytes} are held in reserve; free some space, or keep clips for fewer days"
            )

    def _publish(self, temporary: Path, path: Path, *, overwrite: bool) -> bool:
        for _ in range(_ATTEMPTS):
            with suppress(FileNotFoundError):  # a delete took the folder away because it was empty: make it again
                _make_folder(path.parent)
                if overwrite:
                    temporary.replace(path)
                elif not _linked(temporary, path):
                    return False
                _sync_folder(path.parent)
                return True
        raise StorageError(
            f"cannot write {path}: its folder vanished {_ATTEMPTS} times; is another program deleting there?"
        )


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _entries(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """What lies in a folder, by name, folders with a `/` at the end: that is how the names of blobs sort."""
    found: list[tuple[str, os.DirEntry[str]]] = []
    with _explained(f"folder {folder}"), suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        found = [(e.name + "/" if e.is_dir(follow_symlinks=False) else e.name, e) for e in entries]
    return sorted(((key, entry) for key, entry in found if not key.startswith(".")), key=lambda item: item[0])


def _walk(folder: Path, base: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    for key, entry in _entries(folder):
        name = base + key
        if key.endswith("/"):
            if name.startswith(prefix) or prefix.startswith(name):
                yield from _walk(folder / key, name, prefix)
        elif name.startswith(prefix) and is_blob_name(name):
            yield name, entry


def _linked(temporary: Path, path: Path) -> bool:
    """Give the file its name in one step, unless there is a file of that name: of two writers one wins."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        if path.is_dir():
            raise
        return False
    return True


def _make_folder(folder: Path) -> None:
    """Make the folder and those above it, each synced into its parent."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        with suppress(FileExistsError):  # another writer was quicker, or a file is in the way: the move will say so
            folder.mkdir()
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # cannot open folders, and its NTFS journals names anyway
        return
    with suppress(FileNotFoundError):  # emptied and taken away meanwhile: nothing to sync
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFullError(f"no room left for {what}: free some space on its disk") from error
        if error.errno in _NO_HARD_LINKS:
            raise StorageError(
                f"{what}: its file system has no hard links; use ext4, APFS or NTFS ({error})"
            ) from error
        raise StorageError(f"{what}: {error}; check the folder, its permissions and the disk") from error
