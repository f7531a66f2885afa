"""Dead letters: counted, told by kind, and tried again once their cause may be past."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import ValidationError

from shared.documents import SENT, SegmentBatch, SentBatch, result_blob_name
from shared.errors import ConflictError, HaroError, MessageError
from shared.storage.ports import BlobStore, DeadLetter, DocumentStore, MessageQueue

_log = logging.getLogger(__name__)

Kind = Literal[
    "unreadable",  # no batch: trying again would not help, somebody must look at it
    "scored",  # its result is there: it is put back at once, only to be struck off
    "failed",  # everything else: a store that was down, a model that did not load, a bug that is mended meanwhile
]

REPLAY_AFTER = (timedelta(hours=1), timedelta(hours=6), timedelta(days=1))
"""How long after each death a letter is tried again; after the last of them only a person does."""
AT_ONCE = 20
"""Letters put back in one round: the live minute waits behind them."""
_REASONS_TOLD = 10


@dataclass(frozen=True)
class DeadReport:
    """How many dead letters there were of each kind, how many of them were put back, and why they had died."""

    kinds: dict[Kind, int] = field(default_factory=dict)
    replayed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All dead letters found."""
        return sum(self.kinds.values())


def tend_dead_letters(
    *, queue: MessageQueue, documents: DocumentStore, blobs: BlobStore, now: Callable[[], datetime]
) -> DeadReport:
    """Look through the dead letters, report them, and put back some of those whose cause may be past."""
    kinds: Counter[Kind] = Counter()
    reasons: Counter[str] = Counter()
    due: list[DeadLetter] = []
    for letter in queue.dead_letters():
        batch = batch_of(letter)
        try:
            kind = _kind(batch, blobs)
            if batch is not None and len(due) < AT_ONCE and _may_go_back(kind, batch, letter, documents, now()):
                due.append(letter)
        except (HaroError, ValidationError) as error:  # the store, or an account that nobody can read
            kind = "failed"
            _log.error("dead letter %s cannot be looked into now: %s", letter.message.id, error)
        kinds[kind] += 1
        reasons[letter.reason] += 1
    replayed = replay(due, queue=queue, documents=documents, now=now) if due else 0
    report = DeadReport(dict(kinds), replayed, dict(reasons))
    _tell(report)
    return report


def replay(
    letters: Sequence[DeadLetter], *, queue: MessageQueue, documents: DocumentStore, now: Callable[[], datetime]
) -> int:
    """Put dead letters back on the queue and note it in their accounts; returns how many there still were.

    Noted after: a crash in between costs a letter none of its turns, and at worst sends its batch twice.
    """
    count = queue.replay([letter.message.id for letter in letters])
    # Dead letters that another one holds stay where they are, and keep their turn.
    left = {letter.message.id for letter in queue.dead_letters()} if count < len(letters) else set()
    for letter in letters:
        batch = batch_of(letter)
        if batch is not None and letter.message.id not in left:
            _note_turn(batch, documents, now())
    return count


def is_due(letter: DeadLetter, *, replayed: int, now: datetime) -> bool:
    """Whether a letter that came back `replayed` times before is to be tried again now."""
    return replayed < len(REPLAY_AFTER) and now - letter.dead_lettered_utc >= REPLAY_AFTER[replayed]


def batch_of(letter: DeadLetter) -> SegmentBatch | None:
    """The batch of a letter, None when it holds none."""
    try:
        return SegmentBatch.parse(letter.message.body, source=f"dead letter {letter.message.id}")
    except MessageError:
        return None


def _kind(batch: SegmentBatch | None, blobs: BlobStore) -> Kind:
    if batch is None:
        return "unreadable"
    return "scored" if blobs.exists(result_blob_name(batch.id)) else "failed"


def _may_go_back(kind: Kind, batch: SegmentBatch, letter: DeadLetter, documents: DocumentStore, now: datetime) -> bool:
    stored = documents.get(SENT, batch.hydrophone_id, batch.clip_id)
    replayed = SentBatch.model_validate(stored.body).replayed if stored is not None else 0
    if kind == "scored":
        return replayed < len(REPLAY_AFTER)  # it comes again where its result cannot be read
    return is_due(letter, replayed=replayed, now=now)


def _note_turn(batch: SegmentBatch, documents: DocumentStore, now: datetime) -> None:
    """Count the turn, and that the batch is on its way since now."""
    stored = documents.get(SENT, batch.hydrophone_id, batch.clip_id)
    sent = SentBatch.of(batch, sent_utc=now) if stored is None else SentBatch.model_validate(stored.body)
    again = sent.model_copy(update={"replayed": sent.replayed + 1, "sent_utc": now}).to_json()
    try:
        if stored is None:
            documents.create(SENT, again)
        else:
            documents.replace(SENT, again, etag=stored.etag)
    except ConflictError:
        return  # recorded meanwhile, or noted by another


def _tell(report: DeadReport) -> None:
    """A line of the kinds, one for each of the commonest reasons, and one for the rest."""
    if not report.total:
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(report.kinds.items()))
    _log.error("%d dead letters (`haro dead-letters`): %s; %d put back", report.total, kinds, report.replayed)
    told = Counter(report.reasons).most_common(_REASONS_TOLD)
    for reason, count in told:
        _log.error("%d dead letters: %s", count, reason)
    rest = report.total - sum(count for _, count in told)
    if rest:
        _log.error("%d dead letters for other reasons", rest)
