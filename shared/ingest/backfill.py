"""Past audio: what was missed while Haro was behind, and date ranges that people ask for, through the same queue.

Only as much old audio waits on the queue as `room` allows, so that the newest minute is never late because of an
old one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.documents import BACKFILLS, GAPS, Backfill, Gap, GapReason
from shared.errors import ConflictError, StreamError, StreamNotFound
from shared.hydrophones import Hydrophone
from shared.ingest.batches import BATCH_SEGMENTS, Cut, cut
from shared.ingest.hls import Playlist, Streams, folder_start_utc
from shared.ingest.ledger import batch_message
from shared.storage.ports import DocumentStore, MessageQueue

MAX_TRIES = 20
"""Polls in a row that may fail to read a folder before its stretch is given up as a gap."""


@dataclass(frozen=True)
class BackfillReport:
    """One step of a backfill: the job as it stands now, how many batches it sent, and what went wrong, if anything."""

    job: Backfill
    sent: int = 0
    message: str = ""


def requested(hydrophone: Hydrophone, start_utc: datetime, end_utc: datetime) -> Backfill:
    """The backfill of a date range that somebody asked for. The same range is the same job."""
    return Backfill(
        id=f"requested:{hydrophone.id}:{start_utc:%Y%m%dt%H%M%S}-{end_utc:%Y%m%dt%H%M%S}",
        hydrophone_id=hydrophone.id,
        start_utc=start_utc,
        end_utc=end_utc,
        reason="requested",
    )


def enqueue_backfills(
    hydrophones: Mapping[str, Hydrophone],
    *,
    streams: Streams,
    documents: DocumentStore,
    queue: MessageQueue,
    room: int,
    now: Callable[[], datetime],
) -> list[BackfillReport]:
    """Take every open backfill one step further, newest audio first, putting at most `room` batches on the queue."""
    reports: list[BackfillReport] = []
    for stored in documents.query(
        BACKFILLS, where={"state": "open"}, order_by="start_utc", descending=True, limit=room if room > 0 else 1
    ):
        if room <= 0:
            break
        job = Backfill.model_validate(stored.body)
        hydrophone = hydrophones.get(job.hydrophone_id)
        if hydrophone is None:
            continue
        report = _Step(job, hydrophone, streams, documents, queue, now()).take(room)
        try:
            documents.replace(BACKFILLS, report.job.to_json(), etag=stored.etag)
        except ConflictError:
            continue  # another poller took the same step: the same batches under the same ids
        room -= report.sent
        reports.append(report)
    return reports


class _Step:
    """One job's next step: some batches of one folder, or the move to the next folder."""

    def __init__(
        self,
        job: Backfill,
        hydrophone: Hydrophone,
        streams: Streams,
        documents: DocumentStore,
        queue: MessageQueue,
        now: datetime,
    ) -> None:
        self._job = job
        self._hydrophone = hydrophone
        self._streams = streams
        self._documents = documents
        self._queue = queue
        self._now = now

    def take(self, room: int) -> BackfillReport:
        try:
            folders = self._folders()
            if not folders:
                return self._done("no audio was published in that range")
            epoch, later = folders[0], folders[1] if len(folders) > 1 else None
            try:
                playlist = self._streams.playlist(self._hydrophone, epoch)
            except StreamNotFound as error:
                if later is None and self._job.epoch is None and self._newest(epoch):
                    return self._failed(error)  # the folder in use: its playlist is about to come
                self._tell_gap("folder_gone", epoch, self._begin(epoch), self._until(later), str(error))
                return self._go_on(later, sent=0)
        except StreamError as error:
            return self._failed(error)
        return self._send(playlist, later, room)

    def _send(self, playlist: Playlist, later: int | None, room: int) -> BackfillReport:
        piece = self._cut(playlist, over=later is not None or playlist.closed or self._job.epoch is not None)
        batches = piece.batches[:room]
        whole = len(batches) == len(piece.batches)
        stands_at = piece.next_index if whole else batches[-1].last_index + 1
        for gap in piece.gaps:
            if gap.first_index is not None and gap.first_index < stands_at:
                self._documents.create(GAPS, gap.to_json())
        self._queue.send([batch_message(batch) for batch in batches])
        job = self._job.model_copy(
            update={
                "at_epoch": playlist.epoch,
                "at_index": stands_at,
                "batches_sent": self._job.batches_sent + len(batches),
                "tries": 0,
                "detail": "",
            }
        )
        if not whole:
            return BackfillReport(job, len(batches))
        self._job = job
        open_end = self._job.epoch is None or self._job.last_index is None
        if open_end and playlist.segments and (later is not None or self._job.epoch is not None):
            detail = f"folder {playlist.epoch} ended"
            self._tell_gap(
                "stream_restarted", playlist.epoch, playlist.segments[-1].end_utc, self._until(later), detail
            )
        return self._go_on(later, sent=len(batches))

    def _cut(self, playlist: Playlist, *, over: bool) -> Cut:
        """What is left to send of this folder: whole batches around the range, so that ids equal those of live work."""
        job = self._job
        first = max(job.first_index, job.at_index) if job.epoch is not None else 0
        stop = None if job.last_index is None else job.last_index + 1
        if job.epoch is None:
            inside = [s.index for s in playlist.segments if s.end_utc > job.start_utc and s.start_utc < job.end_utc]
            if not inside:
                return Cut((), (), job.at_index)
            first = inside[0] // BATCH_SEGMENTS * BATCH_SEGMENTS
            stop = (inside[-1] // BATCH_SEGMENTS + 1) * BATCH_SEGMENTS
            if job.at_epoch == playlist.epoch:
                first = max(first, job.at_index)
        return cut(job.hydrophone_id, playlist, start=first, stop=stop, final=over, origin="backfill")

    def _folders(self) -> list[int]:
        """The folders still to be read, in order; the first is where the work stands."""
        job = self._job
        if job.epoch is not None:
            return [job.epoch]
        folders = self._streams.folders(self._hydrophone, after=job.at_epoch - 1 if job.at_epoch is not None else 0)
        start_s, end_s = job.start_utc.timestamp(), job.end_utc.timestamp()
        before = [epoch for epoch in folders if epoch <= start_s]
        inside = [epoch for epoch in folders if start_s < epoch < end_s]
        return before[-1:] + inside if job.at_epoch is None else [e for e in folders if job.at_epoch <= e < end_s]

    def _newest(self, epoch: int) -> bool:
        return self._streams.latest_epoch(self._hydrophone) == epoch

    def _begin(self, epoch: int) -> datetime:
        at_work = self._job.epoch is not None or self._job.at_epoch == epoch
        return self._job.start_utc if at_work else max(self._job.start_utc, folder_start_utc(epoch))

    def _until(self, later: int | None) -> datetime:
        return self._job.end_utc if later is None else min(self._job.end_utc, folder_start_utc(later))

    def _tell_gap(self, reason: GapReason, epoch: int, start_utc: datetime, end_utc: datetime, detail: str) -> None:
        if end_utc > start_utc:
            gap = Gap(
                hydrophone_id=self._job.hydrophone_id,
                epoch=epoch,
                start_utc=start_utc,
                end_utc=end_utc,
                reason=reason,
                detail=detail,
            )
            self._documents.create(GAPS, gap.to_json())

    def _go_on(self, later: int | None, *, sent: int) -> BackfillReport:
        if later is None:
            return self._done("", sent=sent)
        return BackfillReport(self._job.model_copy(update={"at_epoch": later, "at_index": 0, "tries": 0}), sent)

    def _done(self, detail: str, *, sent: int = 0) -> BackfillReport:
        return BackfillReport(self._job.model_copy(update={"state": "done", "detail": detail}), sent, detail)

    def _failed(self, error: StreamError) -> BackfillReport:
        job = self._job.model_copy(update={"tries": self._job.tries + 1, "detail": str(error)})
        if job.tries < MAX_TRIES:
            return BackfillReport(job, message=str(error))
        epoch = job.at_epoch or job.epoch or int(job.start_utc.timestamp())
        self._tell_gap("unreachable", epoch, self._begin(epoch), job.end_utc, str(error))
        self._job = job
        return self._done(f"given up after {job.tries} tries: {error}")
