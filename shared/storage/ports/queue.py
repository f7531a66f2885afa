"""The port of a queue: at-least-once delivery with locks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.errors import StorageError

MAX_MESSAGE_BYTES = 64 * 1024
_MAX_MESSAGE_ID = 128  # Service Bus: MessageId


@dataclass(frozen=True)
class Message:
    """What is sent: `id` (1-128 characters) makes a repeat recognisable, `body` is JSON text well under 64 KB.

    `headers` are for tools outside (trace context): a queue may pass them on or drop them, and no two messages differ
    by them.
    """

    id: str
    body: str
    headers: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Delivery:
    """What is received: a message, locked for its receiver until `locked_until_utc`.

    `delivery_count` is 1 on the first delivery. `lock_token` identifies this delivery when it is settled.
    """

    message: Message
    delivery_count: int
    enqueued_utc: datetime
    locked_until_utc: datetime
    lock_token: str


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be processed, and why."""

    message: Message
    reason: str
    delivery_count: int
    dead_lettered_utc: datetime


@dataclass(frozen=True)
class QueueStats:
    """How the queue stands: `active` messages, waiting or locked, dead letters, and the age of the oldest active one.

    A message abandoned with a delay is waiting. The age counts from when it was sent (or replayed); it is 0 when none
    is active. `retries` are those of the active ones that were given back or whose lock ended, locked again or not.
    Where not everything was counted, `complete` is False: there are more, and the age is that of those counted.
    """

    active: int
    dead: int
    oldest_age_s: float
    retries: int = 0
    complete: bool = True


class Settlement(Protocol):
    """What is done with a delivery in the end: by the queue it came from, or by a host that received it for us."""

    def complete(self, delivery: Delivery) -> None:
        """Remove the message for good.

        Raises ConflictError when the lock was lost meanwhile: its time was over, or the delivery was settled already.
        """
        ...

    def abandon(self, delivery: Delivery, *, reason: str, delay_s: float = 0.0) -> None:
        """Give the message back, to be delivered again after `delay_s`.

        On its last delivery the message goes to the dead letters with `reason`. Raises ConflictError when the lock was
        lost.
        """
        ...

    def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """Set the message aside with its reason. Raises ConflictError when the lock was lost."""
        ...


class MessageQueue(Settlement, Protocol):
    """At-least-once delivery with locks, as Service Bus gives it (peek-lock)."""

    def send(self, messages: Sequence[Message]) -> None:
        """Put messages on the queue, all or none.

        A message whose id was sent before, within the duplicate-detection window, is dropped silently, also when the
        first one has been completed meanwhile. Raises StorageError for a message that is not allowed (see
        `check_message`).
        """
        ...

    def receive(self) -> Delivery | None:
        """Lock and return a message that is due, or None.

        First deliveries come in the order of sending; one that was replayed takes a new place. A message abandoned with
        a delay comes again behind all that were sent before the delay was over. It may let others pass that were sent
        later, but not for ever, though there is always another one due. Where one stands that was given back without a
        delay, or by the end of its lock, is the queue's affair.

        A message not settled before its lock ends is delivered again. One that has been delivered `max_deliveries`
        times without being settled goes to the dead letters instead.
        """
        ...

    def dead_letters(self) -> list[DeadLetter]:
        """All messages set aside, oldest first."""
        ...

    def replay(self, message_ids: Iterable[str]) -> int:
        """Put the dead letters of these ids back on the queue as if new; returns how many there were.

        They keep their ids, are not taken for duplicates, and their deliveries are counted from 1 again.
        """
        ...

    def stats(self, *, at_most: int = 5000) -> QueueStats:
        """How the queue stands now. Counting costs: it may end at `at_most` active messages, and as many dead ones."""
        ...


def check_message(message: Message) -> None:
    """Raise StorageError unless the id is 1-128 characters and the body valid Unicode of at most 64 KB in UTF-8."""
    if not 1 <= len(message.id) <= _MAX_MESSAGE_ID:
        raise StorageError(f"message id {message.id[:200]!r} must have 1 to {_MAX_MESSAGE_ID} characters")
    try:
        size = len(message.id.encode()) + len(message.body.encode())
    except UnicodeEncodeError as error:
        raise StorageError(f"message {message.id!r} holds characters that UTF-8 cannot carry: {error}") from error
    if size > MAX_MESSAGE_BYTES:
        raise StorageError(f"message {message.id!r} has {size} bytes; send a pointer of at most {MAX_MESSAGE_BYTES}")
