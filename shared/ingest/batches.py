"""From a playlist and a cursor to batches and gaps. Pure: values in, values out.

A folder is cut on a fixed grid: segments 6k to 6k+5 make one batch, about 60 s. Whoever cuts the same stretch, live or
as a backfill, before or after a crash, gets the same batches under the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.documents import Backfill, Cursor, FinishedFolder, Gap, Segment, SegmentBatch
from shared.ingest.hls import BATCH_SEGMENTS, Playlist, folder_start_utc
from shared.ingest.jobs import believable, rest_of_folder, stretch_of, time_range

_KEPT_FOLDERS = 8


@dataclass(frozen=True)
class Rules:
    """How patient ingest is.

    `stall_s`: a playlist that has not grown for so long gets its last, shorter batch sent. `far_behind_s`: more
    unread audio than this becomes a backfill. `first_contact_s`: how much of the past is taken in where Haro never
    listened. `give_up_s`: how long an ended
    folder that cannot be read holds up the new one.
    """

    stall_s: float = 120.0
    far_behind_s: float = 600.0
    first_contact_s: float = 3600.0
    give_up_s: float = 300.0


@dataclass(frozen=True)
class Cut:
    """Batches and gaps in order of time, and the first index not cut yet."""

    batches: tuple[SegmentBatch, ...]
    gaps: tuple[Gap, ...]
    next_index: int


def cut(
    hydrophone_id: str,
    playlist: Playlist,
    *,
    start: int,
    stop: int | None = None,
    final: bool = False,
    origin: Literal["live", "backfill"] = "live",
) -> Cut:
    """Cut the segments from index `start` up to `stop` (excluded; None: all that are listed) into batches.

    A batch is cut once its last segment is listed. With `final`, or at `stop`, what remains becomes a shorter batch.
    Indices the playlist skips become gaps.
    """
    listed_end = playlist.last_index + 1
    end = listed_end if stop is None else min(stop, listed_end)
    if not final and (stop is None or listed_end < stop):
        end = end // BATCH_SEGMENTS * BATCH_SEGMENTS
    if end <= start:
        return Cut((), (), start)
    wanted = playlist.between(start, end)
    blocks: dict[int, list[Segment]] = {}
    for segment in wanted:
        blocks.setdefault(segment.index // BATCH_SEGMENTS, []).append(segment)
    offset_s = playlist.start_of(0).timestamp() - playlist.epoch
    batches = tuple(
        SegmentBatch(
            hydrophone_id=hydrophone_id,
            epoch=playlist.epoch,
            segments=tuple(segments),
            offset_s=offset_s,
            time_source=playlist.time_source,
            origin=origin,
        )
        for segments in blocks.values()
    )
    return Cut(batches, tuple(_holes(hydrophone_id, playlist, wanted, start, end)), end)


def _holes(hydrophone_id: str, playlist: Playlist, wanted: Sequence[Segment], start: int, end: int) -> list[Gap]:
    """A gap for every run of indices in [start, end) that the playlist does not list."""
    gaps = []
    expected, heard_until = start, None
    for segment in [*wanted, None]:
        index = segment.index if segment else end
        if index > expected:
            begins = heard_until or playlist.start_of(expected)
            gaps.append(
                Gap(
                    hydrophone_id=hydrophone_id,
                    epoch=playlist.epoch,
                    first_index=expected,
                    last_index=index - 1,
                    start_utc=begins,
                    end_utc=segment.start_utc if segment else playlist.start_of(end),
                    reason="not_in_playlist",
                    detail="the playlist skips these segments",
                )
            )
        if segment:
            expected, heard_until = segment.index + 1, segment.end_utc
    return gaps


def first_contact(
    hydrophone_id: str, playlist: Playlist, *, now: datetime, rules: Rules, has_earlier: bool = False
) -> Cursor:
    """Where to begin at a stream never heard before: at its start if that is near, else at the newest whole batch.

    The last `first_contact_s` of published audio before that become a backfill, reaching into earlier folders where
    there are any (`has_earlier`). What this folder holds before that is a gap, so that coverage is told.
    """
    first = playlist.segments[0].index if playlist.segments else 0
    near = playlist.unread_s(first) <= rules.far_behind_s
    present = first if near else _present_index(playlist)
    newest_utc = playlist.segments[-1].end_utc if playlist.segments else playlist.start_utc
    reach = newest_utc - timedelta(seconds=rules.first_contact_s)
    taken = next((s.index for s in playlist.segments if s.end_utc > reach and s.index < present), present)
    taken = max(first, taken // BATCH_SEGMENTS * BATCH_SEGMENTS)
    gaps: tuple[Gap, ...] = ()
    backfills = stretch_of(hydrophone_id, playlist, taken, present)
    if taken > first:
        gaps = (
            Gap(
                hydrophone_id=hydrophone_id,
                epoch=playlist.epoch,
                first_index=first,
                last_index=taken - 1,
                start_utc=playlist.start_utc,
                end_utc=playlist.start_of(taken),
                reason="before_first_contact",
                detail="published before Haro first listened here; `haro backfill` can still score it",
            ),
        )
    elif has_earlier and reach < playlist.start_utc:
        backfills.append(time_range(hydrophone_id, reach, playlist.start_utc, reason="behind"))
    return Cursor(
        hydrophone_id=hydrophone_id,
        epoch=playlist.epoch,
        next_index=present,
        next_start_utc=playlist.start_of(present),
        seen_index=playlist.last_index,
        seen_utc=now,
        pending_gaps=gaps,
        pending_backfills=tuple(backfills),
    )


def is_complete(cursor: Cursor, playlist: Playlist) -> bool:
    """Whether a folder that the node has left shows the same end as at the last reading, which already knew that."""
    return cursor.leaving and playlist.last_index == cursor.seen_index


def advance(
    cursor: Cursor, playlist: Playlist, *, now: datetime, rules: Rules, left: bool = False, ended: bool = False
) -> Cursor:
    """The cursor after reading its folder's playlist, with what is to be sent in its `pending` fields.

    `left` says that the node writes to another folder by now, `ended` that this one will not grow any more; its tail
    then becomes a shorter batch. A playlist that shrank or came half written changes nothing. Returns the same cursor
    when there is nothing to do or to remember.
    """
    grown = playlist.last_index > cursor.seen_index
    seen_utc = now if grown else cursor.seen_utc
    stalled = (now - seen_utc).total_seconds() >= rules.stall_s
    final = ended or playlist.closed or stalled
    complete = playlist.last_index >= cursor.seen_index  # never finish a folder on a playlist that lost its end
    live_from = cursor.next_index
    backfills: tuple[Backfill, ...] = ()
    if playlist.unread_s(cursor.next_index) > rules.far_behind_s:
        live_from = playlist.last_index + 1 if ended else max(cursor.next_index, _present_index(playlist))
        backfills = tuple(stretch_of(cursor.hydrophone_id, playlist, cursor.next_index, live_from))
    piece = cut(cursor.hydrophone_id, playlist, start=live_from, final=final and complete)
    if piece.next_index == cursor.next_index and not grown and left == cursor.leaving:
        return cursor
    moved = piece.next_index > cursor.next_index
    return cursor.model_copy(
        update={
            "next_index": piece.next_index,
            "next_start_utc": playlist.start_of(piece.next_index) if moved else cursor.next_start_utc,
            "seen_index": max(cursor.seen_index, playlist.last_index),
            "seen_utc": seen_utc,
            "leaving": left,
            "stuck_since_utc": None,
            "pending": piece.batches,
            "pending_gaps": piece.gaps,
            "pending_backfills": backfills,
        }
    )


def next_folder(
    cursor: Cursor,
    epoch: int,
    *,
    now: datetime,
    missed: tuple[int, ...] = (),
    reason: Literal["stream_restarted", "folder_gone", "unread"] = "stream_restarted",
) -> Cursor:
    """The cursor at the start of folder `epoch`, or where that was left, with what lies between told.

    The time up to the next folder is a gap; with reason `unread` it is a backfill instead, because the rest of the old
    folder may yet be read. `missed` are folders that came and went between the two: their audio becomes a backfill.
    """
    known = cursor.finished_at(epoch)
    next_index, begins = (known.next_index, known.next_start_utc) if known else (0, folder_start_utc(epoch))
    successor = missed[0] if missed else epoch
    ends = believable(folder_start_utc(missed[0]) if missed else begins, now=now)
    # A node whose clock was wrong for a while names folders of another time: that is no gap of years.
    before = (folder.next_start_utc for folder in cursor.finished if folder.next_start_utc <= begins)
    left = max([cursor.next_start_utc, *before])
    gaps: list[Gap] = []
    backfills: list[Backfill] = []
    if reason == "unread":
        backfills.append(rest_of_folder(cursor, successor))
    elif ends > left:
        detail = f"folder {cursor.epoch} ended, folder {successor} began"
        if reason == "folder_gone":
            detail = f"folder {cursor.epoch} vanished before it was read to its end"
        gaps.append(
            Gap(
                hydrophone_id=cursor.hydrophone_id,
                epoch=cursor.epoch,
                start_utc=left,
                end_utc=ends,
                reason=reason,
                detail=detail,
            )
        )
    if missed:
        backfills.append(time_range(cursor.hydrophone_id, ends, believable(begins, now=now), reason="behind"))
    here = FinishedFolder(epoch=cursor.epoch, next_index=cursor.next_index, next_start_utc=cursor.next_start_utc)
    return cursor.model_copy(
        update={
            "epoch": epoch,
            "next_index": next_index,
            "next_start_utc": begins,
            "seen_index": next_index - 1,
            "seen_utc": now,
            "leaving": False,
            "stuck_since_utc": None,
            "finished": (*(folder for folder in cursor.finished if folder is not known), here)[-_KEPT_FOLDERS:],
            "pending": (),
            "pending_gaps": tuple(gaps),
            "pending_backfills": tuple(backfills),
        }
    )


def _present_index(playlist: Playlist) -> int:
    """Where the newest whole batch starts."""
    return max(0, (playlist.last_index + 1) // BATCH_SEGMENTS - 1) * BATCH_SEGMENTS
