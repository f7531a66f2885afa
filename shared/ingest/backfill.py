"""Past audio: what was missed while Haro was behind, and date ranges that people ask for, through the same queue.

Only as much old audio waits on the queue as `room` allows, so that the newest minute is never late because of an old
one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.documents import BACKFILLS, CLIPS, GAPS, Backfill, Gap, GapReason, SegmentBatch
from shared.errors import ConflictError, HaroError, StreamError, StreamNotFound, StreamUnreachable
from shared.hydrophones import Hydrophone
from shared.ingest.batches import Cut, cut
from shared.ingest.hls import Playlist, Streams, folder_start_utc
from shared.ingest.jobs import bounds, stretches
from shared.ingest.outgoing import send_batches
from shared.storage.ports import DocumentStore, MessageQueue
from shared.telemetry import metrics

MAX_TRIES = 50
"""Failures in a row after which a stretch is given up as a gap; with the waits between, more than seven hours."""

CONFIRM_S = 3.0  # between two readings of a folder's end
FIRST_RETRY_S = 10.0
LONGEST_RETRY_S = 600.0
_PATIENCE = timedelta(seconds=300)  # how long after its end a range waits for a batch that is not complete

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BackfillReport:
    """One step of a backfill: the job as it stands now, and how many batches it sent."""

    job: Backfill
    sent: int = 0


def request_backfill(documents: DocumentStore, job: Backfill) -> None:
    """Put a backfill on the list; one that was done before is done again, which scores nothing twice."""
    if documents.create(BACKFILLS, job.to_json()):
        return
    stored = documents.get(BACKFILLS, job.hydrophone_id, job.id)
    if stored is not None and stored.body["state"] == "done":
        documents.replace(BACKFILLS, job.to_json(), etag=stored.etag)


def enqueue_backfills(
    hydrophones: Mapping[str, Hydrophone],
    *,
    streams: Streams,
    documents: DocumentStore,
    queue: MessageQueue,
    room: int,
    now: Callable[[], datetime],
) -> list[BackfillReport]:
    """Take every open backfill one step further, newest audio first, putting at most `room` batches on the queue.

    One that fails is tried again later and costs the others nothing. Raises StorageError where the store or the queue
    fails, which is no backfill's fault.
    """
    reports: list[BackfillReport] = []
    for stored in documents.query(BACKFILLS, where={"state": "open"}, order_by="start_utc", descending=True):
        job = Backfill.model_validate(stored.body)
        hydrophone = hydrophones.get(job.hydrophone_id)
        if room <= 0:
            break
        if hydrophone is None or (job.retry_utc is not None and job.retry_utc > now()):
            continue
        step = _Step(job, hydrophone, streams, documents, queue, now())
        try:
            report = step.take(room)
        except HaroError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug met at one backfill must not stop the others
            _log.exception("a bug, met at backfill %s", job.id)
            report = step.failed(f"a bug: {error!r}")
        if report.job == job:
            continue
        try:
            documents.replace(BACKFILLS, report.job.to_json(), etag=stored.etag)
        except ConflictError:
            continue  # another poller took the same step: the same batches under the same ids
        room -= report.sent
        reports.append(report)
    return reports


class _Step:
    """One job's next step: a range is split, a stretch sends some of its batches."""

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
        job = self._job
        try:
            if job.epoch is None:
                return self._split()
            playlist = self._streams.playlist(self._hydrophone, job.epoch)
            if playlist.last_index < max(job.known_index, -1 if job.last_index is None else job.last_index, 0):
                raise StreamUnreachable(f"{self._hydrophone.stream_url}: folder {job.epoch} lists less than it did")
        except StreamNotFound as error:
            if job.epoch is None or job.next_epoch is None:
                return self.failed(str(error))  # the folder in use: its playlist is about to come
            self._tell_gap("folder_gone", max(job.start_utc, folder_start_utc(job.epoch)), str(error))
            return self._changed(state="done", detail=str(error))
        except StreamError as error:
            return self.failed(str(error))
        return self._send(playlist, room)

    def _split(self) -> BackfillReport:
        parts = stretches(self._job, self._streams.folders(self._hydrophone), now=self._now)
        for part in parts:
            request_backfill(self._documents, part)
        return self._changed(state="done", detail="" if parts else "no audio was published in that range")

    def _send(self, playlist: Playlist, room: int) -> BackfillReport:
        job = self._job
        over = job.next_epoch is not None or playlist.closed
        listed = bounds(job, playlist)
        first, stop = listed or (job.at_index, None)
        # One reading may be torn: where nothing is listed beyond the stretch, two readings must say the same.
        settled = stop is not None or playlist.last_index == job.known_index
        final = settled and (over or self._now > job.end_utc + _PATIENCE)
        start = max(first, job.at_index)
        piece = Cut((), (), start)
        if listed:
            piece = cut(job.hydrophone_id, playlist, start=start, stop=stop, final=final, origin="backfill")
        batches = piece.batches[:room]
        whole = len(batches) == len(piece.batches)
        stands_at = piece.next_index if whole else batches[-1].last_index + 1
        for gap in piece.gaps:
            if gap.first_index is not None and gap.first_index < stands_at:
                self._note(gap)
        unscored = [rest for batch in batches if (rest := self._unscored(batch)) is not None]
        send_batches(unscored, documents=self._documents, queue=self._queue, now=self._now)
        sent: dict[str, Any] = {
            "at_index": stands_at,
            "batches_sent": job.batches_sent + len(unscored),
            "known_index": max(playlist.last_index, job.known_index),
            "tries": 0,
            "retry_utc": None,
        }
        if not whole or not settled or (not final and (stop is None or stands_at < stop)):
            # What is left starts here: should it be given up, its gap must not cover what was scored.
            sent["start_utc"] = max(job.start_utc, playlist.start_of(stands_at))
            wait_s = FIRST_RETRY_S if settled else CONFIRM_S
            sent["retry_utc"] = self._now + timedelta(seconds=wait_s) if whole else None
            return self._changed(len(unscored), **sent)
        if job.last_index is None and job.next_epoch is not None:
            self._tell_gap("stream_restarted", playlist.segments[-1].end_utc, f"folder {job.epoch} ended")
        return self._changed(len(unscored), **sent, state="done", detail="")

    def _unscored(self, batch: SegmentBatch) -> SegmentBatch | None:
        """What of a batch no clip holds, under its own id or another: a stream that stood still was cut elsewhere."""
        near = timedelta(minutes=30)
        clips = self._documents.query(
            CLIPS,
            partition=batch.hydrophone_id,
            since=("start_utc", (batch.start_utc - near).isoformat()),
            until=("start_utc", (batch.end_utc + near).isoformat()),
        )
        scored: set[int] = set()
        for clip in clips:
            hydrophone_id, epoch, span = str(clip.body["id"]).split(":")
            first, last = map(int, span.split("-"))
            if (hydrophone_id, int(epoch)) == (batch.hydrophone_id, batch.epoch):
                scored.update(range(first, last + 1))
        left = tuple(segment for segment in batch.segments if segment.index not in scored)
        return batch.model_copy(update={"segments": left}) if left else None

    def _tell_gap(self, reason: GapReason, start_utc: datetime, detail: str) -> None:
        """Tell that nothing was heard from `start_utc` until the next folder or the end of the range."""
        job = self._job
        end_utc = job.end_utc
        if job.next_epoch is not None and job.next_epoch < end_utc.timestamp():
            end_utc = min(end_utc, folder_start_utc(job.next_epoch))
        start_utc = max(start_utc, job.start_utc)
        if end_utc > start_utc:
            gap = Gap(
                hydrophone_id=job.hydrophone_id,
                epoch=job.epoch or 0,
                start_utc=start_utc,
                end_utc=end_utc,
                reason=reason,
                detail=detail,
            )
            self._note(gap)

    def _note(self, gap: Gap) -> None:
        if self._documents.create(GAPS, gap.to_json()):
            metrics.gap_found(gap)

    def failed(self, detail: str) -> BackfillReport:
        """The step that did not succeed: tried again later or, after the last try, told as a gap."""
        job = self._job
        if job.tries + 1 >= MAX_TRIES:
            self._tell_gap("unreachable", job.start_utc, detail)
            return self._changed(state="done", detail=f"given up after {MAX_TRIES} tries: {detail}")
        wait_s = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0**job.tries)
        retry_utc = self._now + timedelta(seconds=wait_s)
        return self._changed(tries=job.tries + 1, retry_utc=retry_utc, detail=detail)

    def _changed(self, sent: int = 0, **changes: Any) -> BackfillReport:
        return BackfillReport(self._job.model_copy(update=changes), sent)
