"""The first stage: read every hydrophone's stream and put what is new on the queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shared.documents import Cursor, Gap, SegmentBatch
from shared.errors import ConflictError, HaroError, PlaylistError, StreamError, StreamNotFound, StreamUnreachable
from shared.hydrophones import Hydrophone
from shared.ingest.batches import Rules, advance, first_contact, is_complete, next_folder
from shared.ingest.hls import Playlist, Streams
from shared.ingest.ledger import Ledger
from shared.storage.ports import DocumentStore, MessageQueue

_MAX_MOVES = 6  # first contact, the rest of the old folder, the new one; the next poll takes up what is left
_PARALLEL = 32
_LOOK_BACK_S = 30 * 86_400  # longer than any node keeps a folder

_log = logging.getLogger(__name__)

PollState = Literal["listening", "waiting", "stalled", "ended", "unreachable", "failed", "postponed"]


@dataclass(frozen=True)
class PollReport:
    """What one poll of one hydrophone came to: `unreachable` is the stream's own fault, `failed` Haro's.

    `newest_utc` is the end of the newest published audio; `message` is what an operator should know, in a sentence.
    """

    hydrophone_id: str
    state: PollState
    batches: tuple[SegmentBatch, ...] = ()
    gaps: tuple[Gap, ...] = ()
    newest_utc: datetime | None = None
    message: str = ""


@dataclass
class Backoff:
    """Which hydrophones failed lately, and when each is worth another try. Lives as long as its process."""

    first_s: float = 10.0
    cap_s: float = 120.0
    _failures: dict[str, tuple[int, datetime]] = field(default_factory=dict)

    def due(self, hydrophone_id: str, now: datetime) -> bool:
        """Whether the hydrophone may be asked now."""
        until = self._failures[hydrophone_id][1] if hydrophone_id in self._failures else now
        return not timedelta(0) < until - now <= timedelta(seconds=self.cap_s)  # longer: the clock was set back

    def note(self, report: PollReport, now: datetime) -> None:
        """Remember how the poll went: every failure in a row doubles the wait, up to the cap."""
        if report.state not in {"unreachable", "failed"}:
            self._failures.pop(report.hydrophone_id, None)
            return
        failures = self._failures.get(report.hydrophone_id, (0, now))[0] + 1
        wait_s = min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 16))
        self._failures[report.hydrophone_id] = (failures, now + timedelta(seconds=wait_s))


def enqueue_new_batches(
    hydrophones: Sequence[Hydrophone],
    *,
    streams: Streams,
    documents: DocumentStore,
    queue: MessageQueue,
    rules: Rules,
    now: Callable[[], datetime],
    backoff: Backoff,
) -> list[PollReport]:
    """Poll all hydrophones at once. One that fails is reported and costs the others nothing."""

    def poll(hydrophone: Hydrophone) -> PollReport:
        if not backoff.due(hydrophone.id, now()):
            return PollReport(hydrophone.id, "postponed")
        try:
            report = _poll(hydrophone, streams, Ledger(hydrophone.id, documents, queue, now), rules, now)
        except ConflictError as error:
            report = PollReport(hydrophone.id, "waiting", message=f"another poller was first: {error}")
        except StreamError as error:
            report = PollReport(hydrophone.id, "unreachable", message=str(error))
        except HaroError as error:
            report = PollReport(hydrophone.id, "failed", message=str(error))
        except Exception as error:  # noqa: BLE001 - a bug met at one hydrophone must not stop the others
            _log.exception("a bug, met at %s", hydrophone.id)
            report = PollReport(hydrophone.id, "failed", message=f"a bug: {error!r}")
        backoff.note(report, now())
        return report

    if not hydrophones:
        return []
    with ThreadPoolExecutor(min(_PARALLEL, len(hydrophones)), thread_name_prefix="poll") as pool:
        return list(pool.map(poll, hydrophones))


def _poll(
    hydrophone: Hydrophone, streams: Streams, ledger: Ledger, rules: Rules, now: Callable[[], datetime]
) -> PollReport:
    """Read one stream as far as it goes. A folder that the node has left is read to its end before the next one."""

    def report(state: PollState, newest_utc: datetime | None = None, message: str = "") -> PollReport:
        return PollReport(hydrophone.id, state, tuple(ledger.batches), tuple(ledger.gaps), newest_utc, message)

    latest = streams.latest_epoch(hydrophone)
    for _ in range(_MAX_MOVES):
        cursor = ledger.cursor
        left = cursor is not None and _has_left(hydrophone, streams, cursor, latest, now(), rules)
        missed: tuple[int, ...] = ()
        try:
            if cursor is None:
                playlist = streams.playlist(hydrophone, latest)
                earlier = _folders_between(hydrophone, streams, latest - _LOOK_BACK_S, latest)
                start = first_contact(hydrophone.id, playlist, now=now(), rules=rules, has_earlier=bool(earlier))
                ledger.begin(start)
                continue
            if left:
                read = (cursor.epoch, *(folder.epoch for folder in cursor.finished))
                before = max((epoch for epoch in read if epoch <= latest), default=latest)
                missed = _folders_between(hydrophone, streams, before, latest)
            playlist = _read(hydrophone, streams, cursor, left=left)
        except StreamError as error:
            if cursor is None or not left:
                if isinstance(error, StreamNotFound):
                    return report("waiting", message=f"no playlist yet in folder {cursor.epoch if cursor else latest}")
                raise
            if ledger.move(_without_reading(cursor, latest, missed, error, now(), rules)).epoch == cursor.epoch:
                raise
            continue
        ended = left and is_complete(cursor, playlist)
        cursor = ledger.move(advance(cursor, playlist, now=now(), rules=rules, left=left, ended=ended))
        if not ended:
            return report(*_standing(cursor, playlist, latest, now(), rules))
        ledger.move(next_folder(cursor, latest, now=now(), missed=missed))
    return report("listening", message="still catching up with restarts")


def _without_reading(
    cursor: Cursor, latest: int, missed: tuple[int, ...], error: StreamError, now: datetime, rules: Rules
) -> Cursor:
    """The cursor when the folder it is to leave cannot be read: gone for good, or waited for as long as is right."""
    if isinstance(error, StreamNotFound):
        return next_folder(cursor, latest, now=now, missed=missed, reason="folder_gone")
    if cursor.stuck_since_utc is None:
        return cursor.model_copy(update={"stuck_since_utc": now})
    if (now - cursor.stuck_since_utc).total_seconds() < rules.give_up_s:
        return cursor
    return next_folder(cursor, latest, now=now, missed=missed, reason="unread")


def _has_left(
    hydrophone: Hydrophone, streams: Streams, cursor: Cursor, latest: int, now: datetime, rules: Rules
) -> bool:
    """Whether the node has left the cursor's folder for another one, and the old one's last uploads are done.

    The new folder is looked at first: a `latest.txt` that names a folder without a playlist is wrong, or early. Once
    the new folder lists a second segment, or the old one has not grown for `stall_s`, the old one is complete; two
    polls in a row must then see the same end of it, for one may see it torn.

    A pointer back, to an older folder or one that was read before, is mostly stale. It is followed only from a folder
    that has not grown for `stall_s` (the node's clock was set back), and into one read before only for what that lists
    since (the pointer away from it was the wrong one): whatever was believed, no folder that grows is lost for long.
    """
    silent = (now - cursor.seen_utc).total_seconds() >= rules.stall_s
    if latest == cursor.epoch or (_points_back(cursor, latest) and not silent):
        return False
    try:
        new = streams.playlist(hydrophone, latest)
    except StreamError:
        return False
    if known := cursor.finished_at(latest):
        return new.last_index >= known.next_index
    return len(new.segments) > 1 or new.closed or silent


def _points_back(cursor: Cursor, latest: int) -> bool:
    return latest < cursor.epoch or cursor.finished_at(latest) is not None


def _read(hydrophone: Hydrophone, streams: Streams, cursor: Cursor, *, left: bool) -> Playlist:
    playlist = streams.playlist(hydrophone, cursor.epoch, known=(cursor.next_index, cursor.next_start_utc))
    if left and playlist.last_index < cursor.seen_index:
        raise StreamUnreachable(f"{hydrophone.stream_url}: the playlist of folder {cursor.epoch} has lost its end")
    return playlist


def _folders_between(hydrophone: Hydrophone, streams: Streams, epoch: int, latest: int) -> tuple[int, ...]:
    """Folders between two others. A server that does not list its folders leaves them to the gap record.

    Raises StreamUnreachable when it would list them, but not now.
    """
    if latest <= epoch:
        return ()
    try:
        return tuple(folder for folder in streams.folders(hydrophone, after=epoch) if folder < latest)
    except (StreamNotFound, PlaylistError):
        return ()


def _standing(
    cursor: Cursor, playlist: Playlist, latest: int, now: datetime, rules: Rules
) -> tuple[PollState, datetime | None, str]:
    if not playlist.segments:
        return "waiting", None, f"folder {cursor.epoch} has no segment yet"
    newest = playlist.segments[-1].end_utc
    if playlist.closed and latest == cursor.epoch:
        return "ended", newest, "the stream has ended"
    if not cursor.leaving and (now - cursor.seen_utc).total_seconds() >= rules.stall_s:
        return "stalled", newest, f"nothing new since {cursor.seen_utc:%Y-%m-%d %H:%M:%S} UTC"
    if _points_back(cursor, latest):
        return "listening", newest, f"latest.txt points back to folder {latest}; folder {cursor.epoch} is listened to"
    return "listening", newest, f"folder {latest} begins" if latest != cursor.epoch else ""
