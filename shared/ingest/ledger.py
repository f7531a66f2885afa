"""One hydrophone's cursor as it is stored, and the sending of what it holds pending."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.documents import BACKFILLS, CURSORS, GAPS, Cursor, Gap, SegmentBatch
from shared.errors import ConflictError
from shared.ingest.outgoing import send_batches
from shared.storage.ports import DocumentStore, MessageQueue
from shared.telemetry import metrics

_SENT = {"pending": (), "pending_gaps": (), "pending_backfills": ()}


class Ledger:
    """Moves a cursor by conditional writes and sends what each move decided.

    The move is written first, with all that is to be sent; then it is sent; then it is struck off. Whoever loads a
    cursor with something still pending sends that again first: ids are derived, so a repeat changes nothing.
    """

    def __init__(
        self, hydrophone_id: str, documents: DocumentStore, queue: MessageQueue, now: Callable[[], datetime]
    ) -> None:
        self._documents = documents
        self._queue = queue
        self._now = now
        self.batches: list[SegmentBatch] = []
        self.gaps: list[Gap] = []
        self.cursor: Cursor | None = None
        self._etag = ""
        stored = documents.get(CURSORS, hydrophone_id, hydrophone_id)
        if stored is not None:
            self.cursor = Cursor.model_validate(stored.body)
            self._etag = stored.etag
            self._send(self.cursor)

    def begin(self, cursor: Cursor) -> Cursor:
        """Store the hydrophone's first cursor. Raises ConflictError when another poller was first."""
        body = cursor.to_json()
        created = self._documents.create(CURSORS, body)
        stored = self._documents.get(CURSORS, cursor.hydrophone_id, cursor.id)
        if not created or stored is None or stored.body != body:
            raise ConflictError(f"another poller began {cursor.hydrophone_id} at the same moment")
        self._etag = stored.etag
        return self._send(cursor)

    def move(self, cursor: Cursor) -> Cursor:
        """Store the moved cursor and send what the move decided. Raises ConflictError when another poller moved it."""
        if cursor is self.cursor:
            return cursor
        self._etag = self._documents.replace(CURSORS, cursor.to_json(), etag=self._etag)
        return self._send(cursor)

    def _send(self, cursor: Cursor) -> Cursor:
        if cursor.pending or cursor.pending_gaps or cursor.pending_backfills:
            for gap in cursor.pending_gaps:
                if self._documents.create(GAPS, gap.to_json()):
                    metrics.gap_found(gap)
            for backfill in cursor.pending_backfills:
                self._documents.create(BACKFILLS, backfill.to_json())
            send_batches(cursor.pending, documents=self._documents, queue=self._queue, now=self._now())
            self.batches += cursor.pending
            self.gaps += cursor.pending_gaps
            cursor = cursor.model_copy(update=_SENT)
            self._etag = self._documents.replace(CURSORS, cursor.to_json(), etag=self._etag)
        self.cursor = cursor
        return cursor
