"""What the Service Bus queue does beyond the contract: faults, links, copies, and what Service Bus itself buries."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest

pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")

from azure.servicebus import ServiceBusClient, ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiver

from shared.errors import ConflictError, StorageError
from shared.storage.azure.servicebus import ServiceBusQueue
from shared.storage.ports import Delivery, Message
from tests.clock import FakeClock
from tests.contract.azure_queue import NAME, AzureQueue
from tests.emulators.servicebus import Effect, ServiceBusEmulator, Step, wire

drops_connections = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # the SDK leaves them to gc
A, B = Message("a", "{}"), Message("b", "{}")


def received(bus: AzureQueue) -> Delivery:
    """The message that is due."""
    delivery = bus.queue.receive()
    assert delivery is not None
    return delivery


def active_ids(bus: AzureQueue) -> list[str | None]:
    """The message ids on the queue, as Service Bus knows them."""
    return [entry.message.message_id for entry in bus.emulator.active(NAME)]


@drops_connections
@pytest.mark.parametrize("effect", [Effect.BUSY, Effect.DROP_BEFORE, Effect.DROP_AFTER])
def test_a_send_that_met_a_fault_is_there_once(bus: AzureQueue, effect: Effect) -> None:
    """A send that was refused as busy, or whose connection broke before or after it was accepted, arrives once."""
    bus.emulator.faults.add(Step.SEND, effect)
    bus.queue.send([A, B])
    assert active_ids(bus) == ["a", "b"]
    assert bus.emulator.faults.pending() == []


def test_a_send_that_is_answered_too_late_is_there_once(bus: AzureQueue) -> None:
    """With `try_timeout` the SDK does not wait for ever; what it sent before arrives late, and is known."""
    bus.emulator.faults.add(Step.SEND, Effect.SLOW, delay_s=2.5)
    bus.queue.send([A])
    time.sleep(1)  # the late one
    assert active_ids(bus) == ["a"]


def test_many_messages_go_in_several_batches(bus: AzureQueue) -> None:
    """More than 256 KB are sent in several batches, in order; a repeat after a failed second batch adds no double."""
    messages = [Message(f"m{index}", f'"{"x" * 60_000}"') for index in range(10)]
    bus.emulator.faults.add(Step.SEND, Effect.SLOW)  # the first batch
    for _ in range(4):  # all tries of the second
        bus.emulator.faults.add(Step.SEND, Effect.BUSY)
    with pytest.raises(StorageError, match="try again later"):
        bus.queue.send(messages)
    assert active_ids(bus) == ["m0", "m1", "m2", "m3"]
    bus.clock.advance(10)
    bus.queue.send(messages)
    assert active_ids(bus) == [message.id for message in messages]


def test_full_batches_are_not_too_large(bus: AzureQueue) -> None:
    """Small messages that fill batches to the brim are all taken: what Service Bus counts is more than the SDK does."""
    messages = [Message(f"m{index}", "x" * 600) for index in range(500)]
    bus.queue.send(messages)
    assert active_ids(bus) == [message.id for message in messages]


def test_headers_that_are_too_large_are_told(bus: AzureQueue) -> None:
    """A message that fits no batch is refused with the remedy, and those before it are not sent either."""
    with pytest.raises(StorageError, match="send a pointer"):
        bus.queue.send([A, Message("b", "{}", {"traceparent": "0" * 300_000})])
    assert active_ids(bus) == []


@drops_connections
@pytest.mark.parametrize(
    "break_it",
    [
        lambda emulator: emulator.faults.add(Step.RECEIVE, Effect.DROP_BEFORE),
        lambda emulator: emulator.faults.add(Step.SETTLE, Effect.DROP_BEFORE),
    ],
)
def test_a_broken_connection_is_mended(bus: AzureQueue, break_it: Callable[[ServiceBusEmulator], None]) -> None:
    """A message is received though the connection broke, and settled over another connection than it came by."""
    bus.queue.send([A])
    break_it(bus.emulator)
    delivery = bus.queue.receive() or received(bus)  # the SDK may notice only after its waiting time, short here
    bus.queue.complete(delivery)
    assert active_ids(bus) == []
    assert bus.emulator.faults.pending() == []


def test_a_receiver_detached_as_busy_is_made_anew(bus: AzureQueue) -> None:
    """Receiving tells that Service Bus is busy, rests, and then works: the SDK would stay broken."""
    bus.queue.send([A])
    bus.emulator.faults.add(Step.RECEIVE, Effect.BUSY)
    with pytest.raises(StorageError, match="try again later"):
        bus.queue.receive()
    bus.clock.advance(9.9)
    with pytest.raises(StorageError, match=r"a moment ago \(ServiceBusServerBusyError\); try again in 10 s"):
        bus.queue.receive()
    bus.clock.advance(0.1)
    bus.queue.complete(received(bus))


@contextmanager
def a_service_that_hangs_up() -> Iterator[tuple[str, list[object]]]:
    """A connection string that leads to nobody, and who called there."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                connection, caller = server.accept()
                with connection:
                    calls.append(caller)
                    if connection.recv(1) == b"q":
                        return

        thread = threading.Thread(target=hang_up)
        thread.start()
        address = server.getsockname()
        secret = f"SharedAccessKeyName=emulator;SharedAccessKey={ServiceBusEmulator.KEY}"
        try:
            yield f"Endpoint=sb://127.0.0.1:{address[1]};{secret};UseDevelopmentEmulator=true", calls
        finally:
            with socket.create_connection(address) as caller:
                caller.sendall(b"q")
            thread.join()


@drops_connections
@pytest.mark.usefixtures("bus")  # which collects what the SDK leaves
def test_threads_that_wait_for_a_service_that_is_down_fail_together() -> None:
    """The SDK's tries are made once for all who wait, and again after a rest of 10 s; no text holds the key."""
    clock = FakeClock()
    with (
        a_service_that_hangs_up() as (connection_string, calls),
        ServiceBusClient.from_connection_string(
            connection_string, retry_total=2, retry_backoff_factor=0.05, retry_backoff_max=1
        ) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        queue = ServiceBusQueue(client, NAME, max_deliveries=3, now=clock)
        for call in (lambda: queue.send([A]), queue.receive, queue.dead_letters):
            calls.clear()
            failures = [future.exception() for future in [pool.submit(call) for _ in range(4)]]
            assert all(isinstance(failure, StorageError) for failure in failures)
            assert len(calls) == 3, "one try and two more"
            clock.advance(10)
            with pytest.raises(StorageError, match="answered ServiceBusConnectionError; try again later") as down:
                call()
            assert len(calls) == 6
            assert ServiceBusEmulator.KEY not in "".join(traceback.format_exception(down.value))
        queue.close()


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


@drops_connections
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


def test_errors_say_what_to_do_and_no_secret(bus: AzureQueue) -> None:
    """A missing queue and a refused identity are told with the remedy; no text in the chain holds the key."""
    with ServiceBusClient.from_connection_string(bus.emulator.connection_string, retry_total=0) as client:
        missing = ServiceBusQueue(client, "another", max_deliveries=3)
        with pytest.raises(StorageError, match="no such queue") as not_there:
            missing.send([A])
        refused = ServiceBusQueue(client, NAME, max_deliveries=3)
        bus.emulator.faults.add(Step.ATTACH, Effect.UNAUTHORISED)
        with pytest.raises(StorageError, match="Data Receiver and Data Sender") as no_right:
            refused.receive()
        missing.close()
        refused.close()
    for told in (not_there, no_right):
        assert ServiceBusEmulator.KEY not in "".join(traceback.format_exception(told.value))


def test_closing_leaves_the_client_open(bus: AzureQueue) -> None:
    """A closed queue opens its links anew when it is used again."""
    bus.queue.close()
    bus.queue.send([A])
    bus.queue.complete(received(bus))
