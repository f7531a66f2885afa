"""Reconciling what was sent with what was recorded, and setting right what got lost in between.

A queue may lose a message that it took: Azure Functions' Flex plan has settled messages without ever invoking the
function (azure-functions-host issue 11879). The trigger that starts recording may fail, too. The account of sent
batches (`SENT`) finds both.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from shared.documents import SENT, SentBatch, result_blob_name
from shared.errors import ConflictError, HaroError
from shared.storage.ports import BlobStore, DocumentStore, MessageQueue, Stored
from shared.telemetry import metrics
from shared.telemetry.traces import span
from shared.upkeep.deadletters import batch_of

_log = logging.getLogger(__name__)
_PAGE = 500
_MOST_LOST = 12_000  # more than 5000 that wait and 5000 that are dead, beyond which nothing is sent again anyway
MARGIN = timedelta(minutes=10)
"""How much younger than the oldest message a batch must not be: accounts are written before messages are sent, by
another clock than the queue's, and a round or a replay takes its time. As long as a function may run (host.json)."""


@dataclass(frozen=True)
class Reconciled:
    """What a round found among the batches sent long ago.

    `recorded` had a result that nobody had struck off, `resent` had vanished and are on the queue again, `waiting` are
    still to come (on the queue or among the dead letters), `failed` could not be set right now.
    """

    recorded: int = 0
    resent: int = 0
    waiting: int = 0
    failed: int = 0


def reconcile(
    *,
    documents: DocumentStore,
    blobs: BlobStore,
    queue: MessageQueue,
    record: Callable[[str], object],
    grace_s: float,
    now: Callable[[], datetime],
) -> Reconciled:
    """Set right what was sent more than `grace_s` ago and is not recorded. One that fails costs the others nothing.

    `grace_s` must be longer than a lock and the slowest clip together: what is younger may be in somebody's hands. A
    batch with a result is given to `record`. One without is sent again under a new message id, unless it may still be
    on the queue, being hardly older than the oldest message there, or lies among the dead letters. Where these are too
    many to look through, nothing is sent again.
    """
    done: Counter[str] = Counter()
    lost: list[tuple[Stored, SentBatch]] = []
    for stored in _sent_before(documents, now() - timedelta(seconds=grace_s)):
        try:
            sent = SentBatch.model_validate(stored.body)
            name = result_blob_name(sent.batch.id)
            if blobs.exists(name):
                record(name)
                done["recorded"] += 1
                _log.warning("%s was scored long ago and not struck off: it is recorded now", sent.batch.id)
            elif len(lost) < _MOST_LOST:
                lost.append((stored, sent))
        except (HaroError, ValidationError) as error:  # an account that nobody can read is no more than one failure
            done["failed"] += 1
            _log.error("%s cannot be set right now: %s", stored.body.get("id"), error)
    if lost:
        done += _send_vanished(lost, documents, queue, now)
    metrics.batches_resent(done["resent"])
    return Reconciled(**done)


def _sent_before(documents: DocumentStore, moment: datetime) -> Iterator[Stored]:
    """Every account that old, page by page, those of one moment each once."""
    since, seen = "", set[str]()  # where the next page begins, and what of that moment was seen
    while True:
        limit = _PAGE + len(seen)
        page = documents.query(
            SENT, since=("sent_utc", since), until=("sent_utc", _text(moment)), order_by="sent_utc", limit=limit
        )
        yield from (stored for stored in page if stored.body["id"] not in seen)
        if len(page) < limit:
            return
        last = page[-1].body["sent_utc"]
        seen = (seen if last == since else set()) | {s.body["id"] for s in page if s.body["sent_utc"] == last}
        since = last


def _send_vanished(
    lost: list[tuple[Stored, SentBatch]], documents: DocumentStore, queue: MessageQueue, now: Callable[[], datetime]
) -> Counter[str]:
    """Send again what is neither on the queue nor among the dead letters."""
    done: Counter[str] = Counter()
    stats = queue.stats()
    if not stats.complete:
        _log.error("the queue is too long to be looked through: %d batches wait for their turn to be missed", len(lost))
        return Counter(waiting=len(lost))
    waiting_since = (now() - timedelta(seconds=stats.oldest_age_s) if stats.oldest_age_s else now()) - MARGIN
    dead = {batch.clip_id for letter in queue.dead_letters() if (batch := batch_of(letter))} if stats.dead else set()
    for stored, sent in lost:
        if sent.id in dead or sent.sent_utc >= waiting_since:
            done["waiting"] += 1
            continue
        try:
            done["resent"] += _send_again(stored, sent, documents, queue, now())
        except HaroError as error:
            done["failed"] += 1
            _log.error("%s cannot be sent again now: %s", sent.batch.id, error)
    return done


def _send_again(
    stored: Stored, sent: SentBatch, documents: DocumentStore, queue: MessageQueue, moment: datetime
) -> bool:
    """Note that it is sent again, then send it; returns whether it was this round that did."""
    again = sent.model_copy(update={"resent": sent.resent + 1, "sent_utc": moment})
    try:
        documents.replace(SENT, again.to_json(), etag=stored.etag)
    except ConflictError:
        return False  # recorded or sent again meanwhile
    with span("enqueue", sent.batch.id, hydrophone=sent.hydrophone_id, resent=again.resent):
        queue.send([again.message()])
    _log.error(
        "%s was sent at %s and vanished without a result: it is sent again, for time %d",
        sent.batch.id,
        f"{sent.sent_utc:%Y-%m-%d %H:%M:%S} UTC",
        again.resent,
    )
    return True


def _text(moment: datetime) -> str:
    """A time as `SentBatch` stores it, for comparing."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
