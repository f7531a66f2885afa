"""Backfill jobs: which past audio is meant. Pure: values in, values out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from shared.documents import Backfill, Cursor
from shared.ingest.hls import BATCH_SEGMENTS, Playlist, folder_start_utc

_CLOCK_WRONG = timedelta(days=1)
"""A folder named after a time so far ahead comes from a node whose clock was wrong."""


def believable(moment: datetime, *, now: datetime) -> datetime:
    """The moment, or `now` where it lies so far ahead that a clock was wrong."""
    return moment if moment <= now + _CLOCK_WRONG else now


def time_range(
    hydrophone_id: str, start_utc: datetime, end_utc: datetime, *, reason: Literal["requested", "behind"]
) -> Backfill:
    """The backfill of a range of time. The same range is the same job."""
    return Backfill(
        id=f"{reason}:{hydrophone_id}:{start_utc:%Y%m%dt%H%M%S}-{end_utc:%Y%m%dt%H%M%S}",
        hydrophone_id=hydrophone_id,
        start_utc=start_utc,
        end_utc=end_utc,
        reason=reason,
    )


def stretch_of(hydrophone_id: str, playlist: Playlist, first: int, stop: int) -> list[Backfill]:
    """Segments `first` to `stop` (excluded) of a folder, as a job; none where that is nothing."""
    if stop <= first:
        return []
    return [
        Backfill(
            id=f"behind:{hydrophone_id}:{playlist.epoch}:{first}-{stop - 1}",
            hydrophone_id=hydrophone_id,
            start_utc=playlist.start_of(first),
            end_utc=playlist.start_of(stop),
            reason="behind",
            epoch=playlist.epoch,
            first_index=first,
            last_index=stop - 1,
        )
    ]


def rest_of_folder(cursor: Cursor, successor: int) -> Backfill:
    """What a cursor has not read of its folder, which ended when folder `successor` began."""
    return Backfill(
        id=f"behind:{cursor.hydrophone_id}:{cursor.epoch}:{cursor.next_index}-end",
        hydrophone_id=cursor.hydrophone_id,
        start_utc=cursor.next_start_utc,
        end_utc=max(folder_start_utc(successor), cursor.next_start_utc),
        reason="behind",
        epoch=cursor.epoch,
        first_index=cursor.next_index,
        next_epoch=successor,
        known_index=cursor.seen_index,
    )


def stretches(job: Backfill, folders: Iterable[int], *, now: datetime) -> list[Backfill]:
    """A range of time as one stretch per folder that may hold some of it.

    A folder that a node named with a wrong clock, more than a day ahead of `now`, does not end the one in use.
    """
    ordered = sorted(folders)
    start_s, end_s = job.start_utc.timestamp(), job.end_utc.timestamp()
    ahead = bisect_right(ordered, (now + _CLOCK_WRONG).timestamp())
    following: dict[int, int | None] = {}
    for chain in (ordered[:ahead], ordered[ahead:]):
        following |= {**dict(pairwise(chain)), **dict.fromkeys(chain[-1:])}
    before = [epoch for epoch in ordered if epoch <= start_s][-1:]
    untried = {"parent": job.id, "tries": 0, "retry_utc": None, "detail": ""}
    return [
        job.model_copy(update={**untried, "id": f"{job.id}:{epoch}", "epoch": epoch, "next_epoch": following[epoch]})
        for epoch in (*before, *(epoch for epoch in ordered if start_s < epoch < end_s))
    ]


def bounds(job: Backfill, playlist: Playlist) -> tuple[int, int | None] | None:
    """The first index of a stretch, and the one after its last (None: to the folder's end).

    Where the job gives times, whole batches around them are meant, so that ids equal those of live work. Returns None
    where nothing at these times is listed.
    """
    if job.first_index is not None:
        return job.first_index, None if job.last_index is None else job.last_index + 1
    inside = [s.index for s in playlist.segments if s.end_utc > job.start_utc and s.start_utc < job.end_utc]
    if not inside:
        return None
    first = inside[0] // BATCH_SEGMENTS * BATCH_SEGMENTS
    if inside[-1] == playlist.last_index and playlist.start_of(playlist.last_index + 1) < job.end_utc:
        return first, None
    return first, (inside[-1] // BATCH_SEGMENTS + 1) * BATCH_SEGMENTS
