"""The first stage: read every hydrophone's stream and put what is new on the queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shared.documents import Cursor, Gap, SegmentBatch
from shared.errors import ConflictError, HaroError, StreamError, StreamNotFound, StreamUnreachable
from shared.hydrophones import Hydrophone
from shared.ingest.batches import Rules, advance, first_contact, next_folder
from shared.ingest.hls import Playlist, Streams
from shared.ingest.ledger import Ledger
from shared.storage.ports import DocumentStore, MessageQueue

_MAX_MOVES = 6  # first contact, the rest of the old folder, the new one; the next poll takes up what is left
_PARALLEL = 32
_LOOK_BACK_S = 30 * 86_400  # longer than any node keeps a folder

PollState = Literal["listening", "waiting", "stalled", "ended", "unreachable", "postponed"]


@dataclass(frozen=True)
class PollReport:
    """What one poll of one hydrophone came to.

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
        return hydrophone_id not in self._failures or now >= self._failures[hydrophone_id][1]

    def note(self, report: PollReport, now: datetime) -> None:
        """Remember how the poll went: every failure in a row doubles the wait, up to the cap."""
        if report.state != "unreachable":
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
            report = _poll(hydrophone, streams, Ledger(hydrophone.id, documents, queue), rules, now)
        except ConflictError as error:
            report = PollReport(hydrophone.id, "waiting", message=f"another poller was first: {error}")
        except HaroError as error:
            report = PollReport(hydrophone.id, "unreachable", message=str(error))
        backoff.note(report, now())
        return report

    if not hydrophones:
        return []
    with ThreadPoolExecutor(min(_PARALLEL, len(hydrophones)), thread_name_prefix="poll") as pool:
        return list(pool.map(poll, hydrophones))


def _poll(
    hydrophone: Hydrophone, streams: Streams, ledger: Ledger, rules: Rules, now: Callable[[], datetime]
) -> PollReport:
    """Read one stream as far as it goes. An ended folder is read to its end before the next one begins."""

    def report(state: PollState, newest_utc: datetime | None = None, message: str = "") -> PollReport:
        return PollReport(hydrophone.id, state, tuple(ledger.batches), tuple(ledger.gaps), newest_utc, message)

    latest = streams.latest_epoch(hydrophone)
    for _ in range(_MAX_MOVES):
        cursor = ledger.cursor
        over = cursor is not None and _is_over(cursor, latest, now(), rules)
        try:
            playlist = _read(hydrophone, streams, cursor, latest, over=over)
        except StreamError as error:
            if cursor is None or not over:
                if isinstance(error, StreamNotFound):
                    return report("waiting", message=f"no playlist yet in folder {cursor.epoch if cursor else latest}")
                raise
            if isinstance(error, StreamNotFound):
                ledger.move(next_folder(cursor, latest, now=now(), reason="folder_gone"))
            elif ledger.stuck_s(cursor, now()) < rules.give_up_s:
                raise
            else:
                ledger.move(next_folder(cursor, latest, now=now(), reason="unread"))
            continue
        if cursor is None:
            earlier = _folders_between(hydrophone, streams, latest - _LOOK_BACK_S, latest)
            start = first_contact(hydrophone.id, playlist, now=now(), rules=rules, has_earlier=bool(earlier))
            ledger.begin(start)
            continue
        cursor = ledger.move(advance(cursor, playlist, now=now(), ended=over, rules=rules))
        if over:
            missed = _folders_between(hydrophone, streams, cursor.epoch, latest)
            ledger.move(next_folder(cursor, latest, now=now(), missed=missed))
            continue
        return report(*_standing(cursor, playlist, latest, now(), rules))
    return report("listening", message="still catching up with restarts")


def _is_over(cursor: Cursor, latest: int, now: datetime, rules: Rules) -> bool:
    """Whether the node has left the cursor's folder, and long enough ago that the folder's last uploads are done.

    A pointer back to a folder that was finished before is stale, not a restart.
    """
    restarted = latest != cursor.epoch and latest not in cursor.finished_epochs
    return restarted and not 0 <= now.timestamp() - latest < rules.settle_s


def _read(hydrophone: Hydrophone, streams: Streams, cursor: Cursor | None, latest: int, *, over: bool) -> Playlist:
    if cursor is None:
        return streams.playlist(hydrophone, latest)
    playlist = streams.playlist(hydrophone, cursor.epoch, known=(cursor.next_index, cursor.next_start_utc))
    if over and playlist.last_index < cursor.seen_index:
        raise StreamUnreachable(f"{hydrophone.stream_url}: the playlist of folder {cursor.epoch} has lost its end")
    return playlist


def _folders_between(hydrophone: Hydrophone, streams: Streams, epoch: int, latest: int) -> tuple[int, ...]:
    """Folders that came and went unseen. A server that cannot list its folders leaves them to the gap record."""
    if latest <= epoch:
        return ()
    try:
        return tuple(folder for folder in streams.folders(hydrophone, after=epoch) if folder < latest)
    except StreamError:
        return ()


def _standing(
    cursor: Cursor, playlist: Playlist, latest: int, now: datetime, rules: Rules
) -> tuple[PollState, datetime | None, str]:
    if not playlist.segments:
        return "waiting", None, f"folder {cursor.epoch} has no segment yet"
    newest = playlist.segments[-1].end_utc
    if latest in cursor.finished_epochs:
        return "listening", newest, f"latest.txt points back to folder {latest}, which was read to its end before"
    if playlist.closed and latest == cursor.epoch:
        return "ended", newest, "the stream has ended"
    if (now - cursor.seen_utc).total_seconds() >= rules.stall_s:
        return "stalled", newest, f"nothing new since {cursor.seen_utc:%Y-%m-%d %H:%M:%S} UTC"
    return "listening", newest, ""
