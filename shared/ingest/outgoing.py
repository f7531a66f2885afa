"""Sending batches to be scored, and keeping account of what was sent."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime

from shared.documents import SENT, SegmentBatch, SentBatch
from shared.storage.ports import DocumentStore, MessageQueue
from shared.telemetry.traces import span


def send_batches(
    batches: Iterable[SegmentBatch], *, documents: DocumentStore, queue: MessageQueue, now: datetime
) -> None:
    """Write down that the batches are on their way, then put them on the queue; a repeat changes nothing.

    The account comes first: what a crash or the queue itself loses in between is found by it and sent again.
    """
    sent = [SentBatch.of(batch, sent_utc=now) for batch in batches]
    for one in sent:
        documents.create(SENT, one.to_json())
    with ExitStack() as spans:
        for one in sent:
            where = {"hydrophone": one.hydrophone_id, "origin": one.batch.origin}
            spans.enter_context(span("enqueue", one.batch.id, **where, segments=len(one.batch.segments)))
        queue.send([one.message() for one in sent])
