"""The message queue in Azure: a Service Bus queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageBatch,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import MessageLockLostError, MessageSizeExceededError

from shared.errors import ConflictError
from shared.storage.azure import servicebus_messages as messages_of
from shared.storage.azure.servicebus_links import KeptLink, told
from shared.storage.ports import DeadLetter, Delivery, Message, QueueStats, check_message

CLIENT_OPTIONS: dict[str, Any] = {  # what the client should be made with: 31 s of waits, and no try for ever
    "retry_total": 5,
    "retry_backoff_factor": 0.8,
    "retry_backoff_max": 10,
    "try_timeout": 20,
}
PEEK_AT_MOST = 5000  # messages; each page of a peek is a round trip
_PAGE = 250
_BATCH_BYTES = 255 * 1024  # Service Bus takes 256 KB; the SDK does not count the batch's own envelope


class ServiceBusQueue:
    """A `MessageQueue` on Service Bus; the queue there has duplicate detection, and no sessions.

    At least once also where the port says once: a delayed retry is a copy that is sent before its original is
    completed, and a crash between leaves both.

    Args:
        client: Stays the caller's; made with `CLIENT_OPTIONS`, which say how often the SDK tries again.
        name: The queue's.
        max_deliveries: Over all copies of a message. Service Bus counts each copy's own, up to the queue's own limit.
        receive_wait_s: How long `receive` waits for a message; other threads' `complete` waits behind it.
        now: The clock; aware times.
    """

    def __init__(
        self,
        client: ServiceBusClient,
        name: str,
        *,
        max_deliveries: int,
        receive_wait_s: float = 1.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.max_deliveries = max_deliveries
        self._client = client
        self._name = name
        self._receive_wait_s = receive_wait_s
        self._now = now
        self._held: dict[str, ServiceBusReceivedMessage] = {}
        self._sender = KeptLink[ServiceBusSender](lambda: client.get_queue_sender(name), name, now)
        self._receiver = KeptLink[ServiceBusReceiver](lambda: client.get_queue_receiver(name), name, now)
        self._dead = KeptLink[ServiceBusReceiver](self._dead_receiver, name, now)

    def close(self) -> None:
        """Close the links; what was received and not settled is delivered again when its lock ends."""
        for link in (self._sender, self._receiver, self._dead):
            link.close()

    def send(self, messages: Sequence[Message]) -> None:
        """See `MessageQueue.send`. All or none up to 255 KB together; beyond, in several batches one after the other.

        If one of these fails, sending everything again is right: ids that arrived are known.
        """
        for message in messages:
            check_message(message)
        if messages:
            outgoing = [messages_of.to_service_bus(message) for message in messages]
            self._sender.run(f"send {len(messages)} messages", lambda sender: _send(sender, outgoing))

    def receive(self) -> Delivery | None:
        """See `MessageQueue.receive`."""
        received = self._receiver.run("receive", self._receive_one, reconnect=True)
        if received is None:
            return None
        delivery = messages_of.delivery_from(received)
        now = self._now()
        lost = [token for token, held in self._held.copy().items() if (held.locked_until_utc or now) <= now]
        for token in lost:
            self._held.pop(token, None)
        self._held[delivery.lock_token] = received
        return delivery

    def complete(self, delivery: Delivery) -> None:
        """See `MessageQueue.complete`."""
        self._settle(delivery, "complete", lambda receiver, held: receiver.complete_message(held))

    def abandon(self, delivery: Delivery, *, reason: str, delay_s: float = 0.0) -> None:
        """See `MessageQueue.abandon`. Without a delay Service Bus takes it back, but has no place for the reason."""
        if delivery.delivery_count >= self.max_deliveries:
            self.dead_letter(delivery, reason=reason)
        elif delay_s > 0:
            self._check_held(delivery)
            self.retry_later(delivery, reason=reason, delay_s=delay_s)
            self.complete(delivery)
        else:
            self._settle(delivery, "abandon", lambda receiver, held: receiver.abandon_message(held))

    def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """See `MessageQueue.dead_letter`. Reasons are cut at 4096 characters."""
        note = messages_of.death_note(delivery, self._now())
        self._settle(
            delivery,
            "dead-letter",
            lambda receiver, held: receiver.dead_letter_message(held, messages_of.cut(reason), note),
        )

    def retry_later(self, delivery: Delivery, *, reason: str, delay_s: float) -> None:
        """Schedule a copy of a delivered message; whoever holds the original completes it afterwards."""
        due_utc = self._now() + timedelta(seconds=delay_s)
        copy = messages_of.retry_copy(delivery, reason=reason, due_utc=due_utc)
        self._send_copy(f"schedule {delivery.message.id}", copy)

    def dead_letters(self) -> list[DeadLetter]:
        """See `MessageQueue.dead_letters`; the first 5000. For the times see `servicebus_messages.dead_letter_of`."""
        dead = [messages_of.dead_letter_of(each) for each in self._dead.run("list the dead letters", _peek)]
        return sorted(dead, key=lambda letter: letter.dead_lettered_utc)

    def replay(self, message_ids: Iterable[str]) -> int:
        """See `MessageQueue.replay`. A crash in its midst loses nothing; repeating it within the window sends no more.

        Dead letters have no index: all those before the last one wanted are locked meanwhile and given back.
        """
        wanted = set(message_ids)
        peeked = self._dead.run("list the dead letters", _peek)
        numbers = {each.sequence_number for each in peeked if messages_of.message_of(each).id in wanted}
        count = 0
        others: list[ServiceBusReceivedMessage] = []
        # A receiver of its own: one that is kept would go on locking dead letters with the credit it has left.
        with told("replay dead letters", self._name), self._dead_receiver() as receiver:
            while len(numbers) > count and (batch := receiver.receive_messages(_PAGE, self._receive_wait_s)):
                for dead in batch:
                    if dead.sequence_number not in numbers:
                        others.append(dead)
                        continue
                    self._send_copy("replay a dead letter", messages_of.replay_copy(dead))
                    receiver.complete_message(dead)
                    count += 1
            for dead in others:
                with suppress(MessageLockLostError):  # given back by its time
                    receiver.abandon_message(dead)
        return count

    def stats(self, *, at_most: int = PEEK_AT_MOST) -> QueueStats:
        """See `MessageQueue.stats`: counted by peeking, which needs no right to manage the queue.

        Counted are those at the head of the queue; what is delayed, or was sent again, stands behind.
        """
        one_more = at_most + 1  # tells whether that is all
        active = self._receiver.run("look at it", lambda receiver: _peek(receiver, one_more))
        dead = self._dead.run("look at its dead letters", lambda receiver: _peek(receiver, one_more))
        complete = max(len(active), len(dead)) <= at_most
        active, dead = active[:at_most], dead[:at_most]
        now = self._now()
        oldest = min(map(messages_of.sent_utc_of, active), default=now)
        retries = sum(map(messages_of.is_retry, active))
        return QueueStats(len(active), len(dead), max(0.0, (now - oldest).total_seconds()), retries, complete)

    def _send_copy(self, doing: str, copy: ServiceBusMessage) -> None:
        self._sender.run(doing, lambda sender: sender.send_messages(copy))

    def _receive_one(self, receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage | None:
        return next(iter(receiver.receive_messages(1, self._receive_wait_s)), None)

    def _dead_receiver(self) -> ServiceBusReceiver:
        return self._client.get_queue_receiver(self._name, sub_queue=ServiceBusSubQueue.DEAD_LETTER)

    def _settle(
        self, delivery: Delivery, doing: str, settle: Callable[[ServiceBusReceiver, ServiceBusReceivedMessage], None]
    ) -> None:
        held = self._check_held(delivery)
        # A receiver that did not receive the message itself settles it by its lock token.
        self._receiver.run(f"{doing} {delivery.message.id}", lambda receiver: settle(receiver, held))
        self._held.pop(delivery.lock_token, None)

    def _check_held(self, delivery: Delivery) -> ServiceBusReceivedMessage:
        held = self._held.get(delivery.lock_token)
        if held is None or delivery.locked_until_utc <= self._now():
            raise ConflictError(
                f"message {delivery.message.id} is no longer locked by this delivery (its lock ended at "
                f"{delivery.locked_until_utc:%H:%M:%S} UTC, or it was settled): leave it to the next delivery"
            )
        return held


def _send(sender: ServiceBusSender, outgoing: Sequence[ServiceBusMessage]) -> None:
    batches: list[ServiceBusMessageBatch] = [sender.create_message_batch(_BATCH_BYTES)]
    for message in outgoing:
        try:
            batches[-1].add_message(message)
        except MessageSizeExceededError:  # this batch is full
            batches.append(sender.create_message_batch(_BATCH_BYTES))
            batches[-1].add_message(message)
    for batch in batches:
        sender.send_messages(batch)


def _peek(receiver: ServiceBusReceiver, at_most: int = PEEK_AT_MOST) -> list[ServiceBusReceivedMessage]:
    """All messages, delayed and locked ones too, by sequence number, up to `at_most`."""
    peeked: list[ServiceBusReceivedMessage] = []
    number = 1
    while (left := at_most - len(peeked)) > 0:
        page = receiver.peek_messages(min(left, _PAGE), sequence_number=number)
        if not page:
            break
        peeked.extend(page)
        number = (page[-1].sequence_number or number) + 1
    return peeked
