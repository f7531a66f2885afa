"""Everything a station keeps, in one folder: a database and files, for one process at work on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from shared.deliveries import HostSettles
from shared.documents import CONTAINERS
from shared.errors import StationBusy
from shared.settings import Settings
from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from shared.storage.local.retention import sweep
from shared.storage.ports import Storage

_DUPLICATE_WINDOW_S = 7 * 86_400.0
_GB = 10**9
_log = logging.getLogger(__name__)


@contextmanager
def open_station(settings: Settings, *, exclusive: bool, now: Callable[[], datetime]) -> Iterator[Storage]:
    """The storage in the settings' data folder, closed at the end.

    With `exclusive` nobody else may have it so. Raises StorageError; StationBusy when another one has.
    """
    with Database(settings.data / "haro.sqlite") as database:
        queue = partial(
            SqliteQueue,
            database,
            lock_s=settings.lock_s,
            max_deliveries=settings.max_deliveries,
            duplicate_window_s=_DUPLICATE_WINDOW_S,
            now=now,
        )
        batches, results = queue("segment-batches"), queue("results")
        documents = SqliteDocuments(database, CONTAINERS, now=now)
        min_free_bytes = int(settings.min_free_gb * _GB)
        blobs = FolderBlobs(settings.data, min_free_bytes=min_free_bytes)

        def take_over() -> None:
            batches.release_all()
            results.release_all()
            blobs.remove_temporary_files()

        def clean() -> None:
            """Make room; a disk that stays short is said aloud."""
            documents.sweep()
            report = sweep(blobs, now=now(), keep_days=settings.keep_days, min_free_bytes=min_free_bytes)
            if report.still_short_bytes:
                _log.error(
                    "the disk is %.1f GB short of HARO_MIN_FREE_GB and nothing is left to delete: clips are not kept "
                    "until somebody makes room; listening, scoring and telling people go on",
                    report.still_short_bytes / _GB,
                )

        with _station_lock(settings.data) if exclusive else nullcontext():
            yield Storage(batches, results, documents, blobs, HostSettles(), take_over, clean)


@contextmanager
def _station_lock(data: Path) -> Iterator[None]:
    """Hold the data folder's lock, which ends with the process, however that ends."""
    lock = FileLock(data / "haro.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise StationBusy(
            f"another Haro is at work on {data.resolve()}: stop that one first, or choose another folder with --data"
        ) from None
    try:
        yield
    finally:
        lock.release()
