"""What a Service Bus queue holds and does, without any network: entries, locks, dead letters, and a clock from outside.

Behaviour follows Microsoft's documentation: message transfers, locks and settlement; dead-letter queues; duplicate
detection; message sequencing; message browsing. Sessions, topics, deferral and time to live are left out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import RLock

DEAD_LETTERS = "/$deadletterqueue"


class LockLost(Exception):  # noqa: N818 - named as Service Bus names it
    """The token locks nothing: its time is over, or the message was settled."""


class MessageNotFound(Exception):  # noqa: N818 - as above
    """No scheduled message has this sequence number."""


@dataclass(frozen=True)
class QueueSettings:
    """How a queue is set up; a duplicate window of 0 s means no duplicate detection."""

    lock_s: float = 60.0
    max_deliveries: int = 10
    duplicate_window_s: float = 0.0


@dataclass(frozen=True)
class Incoming:
    """A message as it was sent: its id, its AMQP bytes, and when it is due if it is scheduled."""

    message_id: str | None
    payload: bytes
    due_utc: datetime | None = None


@dataclass(frozen=True)
class Lock:
    """Whoever knows the token may settle the message until then."""

    token: uuid.UUID
    until_utc: datetime


@dataclass(frozen=True)
class Entry:
    """A message on the queue. `failed_deliveries` counts abandons and ended locks, as the AMQP header does: from 0."""

    sequence_number: int
    message: Incoming
    enqueued_utc: datetime
    failed_deliveries: int = 0
    scheduled: bool = False
    lock: Lock | None = None
    death: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_due(self) -> bool:
        """Whether the next one who asks gets it, when it is the first."""
        return self.lock is None and not self.scheduled


class Queue:
    """One queue and, unless it is one itself, its dead-letter queue. May be asked from several threads."""

    def __init__(self, settings: QueueSettings, clock: Callable[[], datetime], dead: Queue | None = None) -> None:
        self.settings = settings
        self.dead = dead
        self._clock = clock
        self._entries: dict[int, Entry] = {}
        self._seen_utc: dict[str, datetime] = {}
        self._last_number = 0
        self._source: Queue | None = None
        self._guard = RLock()
        if dead is not None:
            dead._source, dead._guard = self, self._guard

    def accept(self, message: Incoming) -> int | None:
        """Put a message on the queue; its sequence number, or None for a duplicate, which is dropped."""
        with self._guard:
            now = self._clock()
            if self._is_duplicate(message.message_id, now):
                return None
            scheduled = message.due_utc is not None and message.due_utc > now
            enqueued_utc = message.due_utc if scheduled and message.due_utc is not None else now
            return self._append(Entry(0, message, enqueued_utc, scheduled=scheduled))

    def lock_next(self) -> Entry | None:
        """Lock the first message that is due."""
        with self._guard:
            self.pass_time()
            for entry in self.entries():
                if not entry.scheduled and entry.lock is None:
                    return self._put(replace(entry, lock=Lock(uuid.uuid4(), self._lock_end())))
            return None

    def complete(self, token: uuid.UUID) -> None:
        """Remove the message. This and the other settlements raise LockLost."""
        with self._guard:
            del self._entries[self._locked(token).sequence_number]

    def abandon(self, token: uuid.UUID) -> None:
        """Give the message back to its place, one delivery more counted; after the last it is dead."""
        with self._guard:
            self._fail(self._locked(token))

    def release(self, token: uuid.UUID) -> None:
        """Give the message back as if it had not been delivered."""
        with self._guard:
            self._put(replace(self._locked(token), lock=None))

    def dead_letter(self, token: uuid.UUID, reason: str | None, description: str | None) -> None:
        """Move the message to the dead letters."""
        with self._guard:
            self._bury(self._locked(token), reason, description)

    def renew(self, token: uuid.UUID) -> datetime:
        """Begin the lock's time anew; its new end."""
        with self._guard:
            entry = self._locked(token)
            until_utc = self._lock_end()
            self._put(replace(entry, lock=Lock(token, until_utc)))
            return until_utc

    def lose_lock(self, token: uuid.UUID) -> None:
        """End a lock before its time."""
        with self._guard:
            self._fail(self._locked(token))

    def cancel(self, sequence_number: int) -> None:
        """Remove a scheduled message; raises MessageNotFound."""
        with self._guard:
            entry = self._entries.get(sequence_number)
            if entry is None or not entry.scheduled:
                raise MessageNotFound
            del self._entries[sequence_number]

    def entries(self) -> list[Entry]:
        """All messages, scheduled and locked ones too, by sequence number."""
        with self._guard:
            self.pass_time()
            return [self._entries[number] for number in sorted(self._entries)]

    def pass_time(self) -> None:
        """Let happen what is due by the clock: locks end, scheduled messages become active."""
        with self._guard:
            now = self._clock()
            if self._source is not None:
                self._source.pass_time()
            for entry in sorted(self._entries.values(), key=lambda entry: entry.enqueued_utc):
                if entry.lock is not None and entry.lock.until_utc <= now:
                    self._fail(entry)
                elif entry.scheduled and entry.enqueued_utc <= now:
                    del self._entries[entry.sequence_number]
                    self._append(replace(entry, scheduled=False))

    def clear(self) -> None:
        """Forget every message, dead ones and seen ids too."""
        with self._guard:
            self._entries.clear()
            self._seen_utc.clear()
            if self.dead is not None:
                self.dead.clear()

    def _append(self, entry: Entry) -> int:
        # A scheduled message gets its place, and a new number, when it becomes active (Microsoft: message sequencing).
        self._last_number += 1
        self._put(replace(entry, sequence_number=self._last_number))
        return self._last_number

    def _put(self, entry: Entry) -> Entry:
        self._entries[entry.sequence_number] = entry
        return entry

    def _lock_end(self) -> datetime:
        return self._clock() + timedelta(seconds=self.settings.lock_s)

    def _locked(self, token: uuid.UUID) -> Entry:
        for entry in self.entries():
            if entry.lock is not None and entry.lock.token == token:
                return entry
        raise LockLost

    def _fail(self, entry: Entry) -> None:
        failed = replace(entry, lock=None, failed_deliveries=entry.failed_deliveries + 1)
        self._put(failed)
        if self.dead is not None and failed.failed_deliveries >= self.settings.max_deliveries:
            attempts = f"Message could not be consumed after {self.settings.max_deliveries} delivery attempts."
            self._bury(failed, "MaxDeliveryCountExceeded", attempts)

    def _bury(self, entry: Entry, reason: str | None, description: str | None) -> None:
        del self._entries[entry.sequence_number]
        if self.dead is None:
            return
        notes = {"DeadLetterReason": reason, "DeadLetterErrorDescription": description}
        death = {name: note for name, note in notes.items() if note is not None}
        self.dead.bring(replace(entry, lock=None, death=death))

    def bring(self, entry: Entry) -> None:
        """Take over a dead message as it is: the time it was enqueued at stays, its number is new."""
        with self._guard:
            self._append(entry)

    def _is_duplicate(self, message_id: str | None, now: datetime) -> bool:
        window = timedelta(seconds=self.settings.duplicate_window_s)
        self._seen_utc = {seen: when for seen, when in self._seen_utc.items() if now - when < window}
        if message_id is None or not window:
            return False
        if message_id in self._seen_utc:
            return True
        self._seen_utc[message_id] = now
        return False


class Broker:
    """The queues of a namespace, by address: case does not matter, `name/$DeadLetterQueue` is the dead-letter queue."""

    def __init__(self, queues: Mapping[str, QueueSettings], clock: Callable[[], datetime]) -> None:
        self._queues: dict[str, Queue] = {}
        for name, settings in queues.items():
            dead = Queue(replace(settings, duplicate_window_s=0.0), clock)
            self._queues[name.lower()] = Queue(settings, clock, dead)
            self._queues[name.lower() + DEAD_LETTERS] = dead

    def find(self, address: str) -> Queue | None:
        """The queue of this address, if there is one."""
        return self._queues.get(address.lower())

    def all(self) -> list[Queue]:
        """Every queue, dead-letter queues too."""
        return list(self._queues.values())
