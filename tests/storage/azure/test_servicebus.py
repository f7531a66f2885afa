"""What the Service Bus queue does beyond the contract: locks, copies, long queues, and what is buried."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiver

from shared.errors import ConflictError
from shared.storage.ports import Delivery, Message
from tests.contract.azure_queue import NAME, AzureQueue
from tests.emulators.servicebus import Effect, Step, wire
from tests.storage.azure.service_bus import A, B, active_ids, received

# Dropped connections the SDK leaves to the garbage collector, which may come for them in a later test.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def test_a_lock_lost_at_settling_is_a_conflict(bus: AzureQueue) -> None:
    """What Service Bus says about the lock counts, though it should have held, for each way of settling."""
    settlements: list[Callable[[Delivery], None]] = [
        bus.queue.complete,
        lambda delivery: bus.queue.abandon(delivery, reason="busy"),
        lambda delivery: bus.queue.dead_letter(delivery, reason="broken"),
    ]
    for settle in settlements:
        bus.empty()
        bus.queue.send([A])
        delivery = received(bus)
        bus.emulator.faults.add(Step.SETTLE, Effect.LOCK_LOST)
        with pytest.raises(ConflictError, match="no longer locked"):
            settle(delivery)
        assert received(bus).delivery_count == 2


def test_no_copy_is_made_without_the_lock(bus: AzureQueue) -> None:
    """A delayed abandon after the lock ended is a conflict and leaves no copy behind."""
    bus.queue.send([A])
    delivery = received(bus)
    bus.clock.advance(bus.lock_s)
    with pytest.raises(ConflictError):
        bus.queue.abandon(delivery, reason="late", delay_s=60)
    assert active_ids(bus) == ["a"]


def test_copies_keep_what_the_message_was(bus: AzureQueue) -> None:
    """A copy of a copy has the first id, time and headers, all deliveries counted, and a message id of its own."""
    long_id = "rpi_bush_point/" + "5" * 113
    bus.queue.send([Message(long_id, "{}", {"traceparent": "00-1-2-01"})])
    first = received(bus)
    for count in (1, 2):
        delivery = first if count == 1 else received(bus)
        bus.queue.abandon(delivery, reason="server down", delay_s=60)
        bus.clock.advance(61)
    (copy,) = bus.emulator.active(NAME)
    assert copy.message.message_id is not None
    assert copy.message.message_id != long_id
    assert len(copy.message.message_id) <= 128
    assert b"00-1-2-01" in wire.outgoing(copy)
    last = received(bus)
    assert (last.message.id, last.delivery_count, last.enqueued_utc) == (long_id, 3, first.enqueued_utc)
    bus.queue.abandon(last, reason="given up", delay_s=60)
    (dead,) = bus.queue.dead_letters()
    assert (dead.message.id, dead.reason, dead.delivery_count) == (long_id, "given up", 3)
    assert abs(dead.dead_lettered_utc - bus.clock()) < timedelta(seconds=1)


def test_a_copy_whose_connection_broke_is_there_once(bus: AzureQueue) -> None:
    """A copy that was accepted before the connection broke is sent again by the SDK, and known by its id."""
    bus.queue.send([A])
    bus.emulator.faults.add(Step.SEND, Effect.DROP_AFTER)
    bus.queue.abandon(received(bus), reason="busy", delay_s=60)
    assert len(active_ids(bus)) == 1
    bus.clock.advance(61)
    assert received(bus).delivery_count == 2


def test_what_service_bus_buried_says_why(bus: AzureQueue) -> None:
    """A retried message whose receivers vanish tells Service Bus' reason, ours of before, and all its deliveries."""
    bus.queue.send([A])
    bus.queue.abandon(received(bus), reason="server down", delay_s=60)
    bus.clock.advance(61)
    for _ in range(bus.max_deliveries):
        received(bus)
        bus.clock.advance(bus.lock_s)
    (dead,) = bus.queue.dead_letters()
    assert dead.reason.startswith("MaxDeliveryCountExceeded: Message could not be consumed")
    assert dead.reason.endswith("; given back before because: server down")
    assert (dead.message.id, dead.delivery_count) == ("a", 1 + bus.max_deliveries)


def test_a_replay_interrupted_is_repeated_harmlessly(bus: AzureQueue) -> None:
    """A replay that ends between copy and completion leaves the dead letter; the second replay sends nothing twice."""
    bus.queue.send([A, B])
    for _ in range(2):
        bus.queue.dead_letter(received(bus), reason="broken")
    bus.emulator.faults.add(Step.SETTLE, Effect.LOCK_LOST)
    with pytest.raises(ConflictError):
        bus.queue.replay(["a"])
    assert (len(active_ids(bus)), len(bus.emulator.dead(NAME))) == (1, 2)
    bus.clock.advance(bus.lock_s)
    assert bus.queue.replay(["a"]) == 1
    assert (len(active_ids(bus)), len(bus.emulator.dead(NAME))) == (1, 1)
    assert received(bus).message.id == "a"


def test_long_queues_are_peeked_in_pages(bus: AzureQueue) -> None:
    """More messages than one page of a peek holds are all counted."""
    bus.queue.send([Message(f"m{index}", "{}") for index in range(300)])
    stats = bus.queue.stats()
    assert (stats.active, stats.complete) == (300, True)


def test_looking_whether_some_wait_reads_not_the_whole_queue(bus: AzureQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long queue no more is read than is to be counted, and one more, which tells that it goes on."""
    read: list[int] = []
    peek = ServiceBusReceiver.peek_messages

    def noted(receiver: ServiceBusReceiver, count: int, *, sequence_number: int) -> list[ServiceBusReceivedMessage]:
        page = peek(receiver, count, sequence_number=sequence_number)
        read.append(len(page))
        return page

    bus.queue.send([Message(f"m{index}", "{}") for index in range(50)])
    monkeypatch.setattr(ServiceBusReceiver, "peek_messages", noted)
    stats = bus.queue.stats(at_most=4)
    assert (stats.active, stats.dead, stats.complete) == (4, 0, False)
    assert sum(read) == 5


def test_what_others_sent_does_not_stop_the_queue(bus: AzureQueue) -> None:
    """A message without id, of bytes that are no text, is delivered; the stage says that it cannot read it."""
    with (
        ServiceBusClient.from_connection_string(bus.emulator.connection_string) as client,
        client.get_queue_sender(NAME) as sender,
    ):
        foreign = ServiceBusMessage(b"\xff\xfe")
        foreign.message_id = None
        sender.send_messages(foreign)
    delivery = received(bus)
    assert delivery.message.id.startswith("sequence-")
    assert delivery.message.body == "\ufffd\ufffd"
