"""What a station forgets: clips without a call by days and by free disk. What holds a detection is kept for ever.

`clips/<hydrophone>/<YYYY-MM-DD>/…` holds audio and pictures without a call, named by the time of the sound.
`detections/` is never touched. `results/<hydrophone>/<epoch>/…` are about 6 kB a minute (3 GB a year for each
hydrophone): those old enough are read, and go unless they say that a call was heard; their clip records stay in the
database.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TypeVar

from shared.errors import StorageError
from shared.storage.local.blobs import FolderBlobs
from shared.storage.ports import BlobInfo

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_STAMP = re.compile(r"_(\d{4}-\d{2}-\d{2}t\d{2}-\d{2}-\d{2}z)_[^/]*$")  # as documents.clip_blob_name writes it
_STAMP_FORMAT = "%Y-%m-%dt%H-%M-%Sz"

_Found = TypeVar("_Found")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepReport:
    """What a sweep did: blobs deleted, bytes freed, and bytes that the disk is still short of its reserve.

    With `still_short_bytes` above 0 there was nothing left that may go: new clips and detections cannot be kept until
    somebody makes room, though listening, scoring and telling go on.
    """

    deleted: int
    freed_bytes: int
    still_short_bytes: int


def sweep(
    blobs: FolderBlobs,
    *,
    now: datetime,
    keep_days: float,
    min_free_bytes: int,
    results_keep_days: float | None = 365,
    headroom_bytes: int = 256 * 1024**2,
) -> SweepReport:
    """Delete what is too old, then the oldest clips until the disk has its reserve again.

    Cheap enough for every few minutes: a file is looked at only in the folders of days and streams that are old enough.
    A folder that cannot be read is skipped aloud.

    Args:
        blobs: The store.
        now: The time, aware.
        keep_days: A clip goes when both its sound and its file are older: a backfill of last year stays as long.
        min_free_bytes: The reserve, as given to `FolderBlobs`.
        results_keep_days: The same for results that heard no call; None keeps them all.
        headroom_bytes: Room made above the reserve, for what is written until the next sweep.

    Raises:
        StorageError: The disk does not say how full it is.
    """
    short_bytes = min_free_bytes + headroom_bytes - blobs.free_bytes()
    cutoff = now - timedelta(days=keep_days)
    doomed = list(choose(_clips_oldest_first(blobs), cutoff=cutoff, short_bytes=short_bytes))
    if results_keep_days is not None:
        doomed += _old_results(blobs, cutoff=now - timedelta(days=results_keep_days))
    gone = [blob for blob in doomed if _deleted(blobs, blob.name)]
    return SweepReport(
        deleted=len(gone),
        freed_bytes=sum(blob.size_bytes for blob in gone),
        still_short_bytes=max(0, min_free_bytes - blobs.free_bytes()),
    )


def choose(oldest_first: Iterable[BlobInfo], *, cutoff: datetime, short_bytes: int) -> Iterator[BlobInfo]:
    """The clips that go: while the disk is short the oldest whatever their age, and then those too old.

    Pure, and counts by the sizes of files: on a disk that gives room back late it must not take that for a reason to
    delete more. Reads no further than it needs.

    Args:
        oldest_first: Clips by the time of their sound.
        cutoff: What was recorded and written before this is too old.
        short_bytes: How much room is to be made; none when 0 or less.
    """
    oldest_kept = cutoff.astimezone(UTC).strftime(_STAMP_FORMAT)
    for blob in oldest_first:
        if short_bytes > 0:
            short_bytes -= blob.size_bytes
            yield blob
        elif recorded_at(blob.name) >= oldest_kept:
            return
        elif blob.modified_utc < cutoff:
            yield blob


def recorded_at(name: str) -> str:
    """The time in a clip's name, in a form whose order is that of time; empty when there is none."""
    stamp = _STAMP.search(name)
    return stamp[1] if stamp else ""


def _clips_oldest_first(blobs: FolderBlobs) -> Iterator[BlobInfo]:
    """Clips by the time of their sound, over all hydrophones; a day's folders are read when that day is reached."""
    days = [
        (folder.split("/")[-2], folder)
        for hydrophone in _readable(blobs.folders, "clips/")
        for folder in _readable(blobs.folders, hydrophone)
    ]
    by_day = groupby(sorted(day for day in days if _DAY.fullmatch(day[0])), key=lambda day: day[0])
    for _, folders in by_day:
        of_day = [blob for _, folder in folders for blob in _readable(blobs.list, folder) if recorded_at(blob.name)]
        yield from sorted(of_day, key=lambda blob: (recorded_at(blob.name), blob.name))


def _old_results(blobs: FolderBlobs, *, cutoff: datetime) -> Iterator[BlobInfo]:
    """Results written before the cutoff that heard no call. A stream's results are never older than the stream."""
    for hydrophone in _readable(blobs.folders, "results/"):
        for stream in _readable(blobs.folders, hydrophone):
            epoch = stream.split("/")[-2]
            if epoch.isdecimal() and int(epoch) < cutoff.timestamp():
                old = (blob for blob in _readable(blobs.list, stream) if blob.modified_utc < cutoff)
                yield from (blob for blob in old if _heard_nothing(blobs, blob.name))


def _readable(look: Callable[[str], Iterable[_Found]], folder: str) -> Iterator[_Found]:
    """What is found there, as far as it can be read: a folder that is not ours must not keep the others' files here."""
    try:
        yield from look(folder)
    except StorageError as error:
        _log.warning("what lies there is not looked through for what is too old: %s", error)


def _deleted(blobs: FolderBlobs, name: str) -> bool:
    try:
        return blobs.delete(name)
    except StorageError as error:  # one file that cannot go must not keep the others here
        _log.warning("cannot delete what is too old: %s", error)
        return False


def _heard_nothing(blobs: FolderBlobs, name: str) -> bool:
    """Whether the result says so; one that cannot be read is kept."""
    try:
        result = json.loads(blobs.get(name))
    except (ValueError, StorageError):
        return False
    return isinstance(result, dict) and result.get("detected") is False
