"""The Service Bus emulator, seen by the unmodified SDK."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")

from azure.servicebus import (
    ServiceBusClient,
    ServiceBusMessage,
    ServiceBusMessageState,
    ServiceBusReceivedMessage,
    ServiceBusReceiver,
    ServiceBusSender,
    ServiceBusSubQueue,
)
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from tests.clock import FakeClock
from tests.emulators.servicebus import Effect, QueueSettings, ServiceBusEmulator, Step

CLOCK = FakeClock(datetime.now(UTC))
QUEUE = "segment-batches"
LOCK_S, WINDOW_S = 300.0, 600.0
# Dropped connections the SDK leaves to the garbage collector, which may come for them in a later test.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(scope="module")
def running() -> Iterator[ServiceBusEmulator]:
    """One emulator for all tests here."""
    with ServiceBusEmulator({QUEUE: QueueSettings(LOCK_S, 2, WINDOW_S)}, clock=CLOCK) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: ServiceBusEmulator) -> Iterator[ServiceBusEmulator]:
    """The emulator, empty, and not behind the real time; what a test leaves to the collector is collected in it."""
    running.faults.clear()
    running.clear(QUEUE)
    CLOCK.now_utc = max(CLOCK.now_utc, datetime.now(UTC))
    yield running
    gc.collect()


@pytest.fixture(scope="module")
def client(running: ServiceBusEmulator) -> Iterator[ServiceBusClient]:
    """A client that tries again at once, and once."""
    with ServiceBusClient.from_connection_string(
        running.connection_string, retry_total=1, retry_backoff_factor=0.01
    ) as client:
        yield client


@pytest.fixture(scope="module")
def sender(client: ServiceBusClient) -> Iterator[ServiceBusSender]:
    """An open sender."""
    with client.get_queue_sender(QUEUE) as sender:
        yield sender


@pytest.fixture(scope="module")
def receiver(client: ServiceBusClient) -> Iterator[ServiceBusReceiver]:
    """An open receiver."""
    with client.get_queue_receiver(QUEUE) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def dead(client: ServiceBusClient) -> Iterator[ServiceBusReceiver]:
    """An open receiver of the dead letters, for peeking."""
    with client.get_queue_receiver(QUEUE, sub_queue=ServiceBusSubQueue.DEAD_LETTER) as receiver:
        yield receiver


def message(message_id: str) -> ServiceBusMessage:
    """A small message."""
    return ServiceBusMessage(f"body of {message_id}", message_id=message_id, application_properties={"of": message_id})


def received(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    """The one message that is due."""
    (one,) = receiver.receive_messages(max_message_count=1, max_wait_time=30)
    return one


def ids(emulator: ServiceBusEmulator) -> list[str | None]:
    """What is on the queue."""
    return [entry.message.message_id for entry in emulator.active(QUEUE)]


def test_a_message_arrives_whole(
    emulator: ServiceBusEmulator, sender: ServiceBusSender, receiver: ServiceBusReceiver
) -> None:
    """Body, id, properties, sequence number, time and lock come as Service Bus gives them, the count from 0."""
    sender.send_messages(message("a"))
    got = received(receiver)
    assert (b"".join(got.body), got.message_id, got.application_properties) == (b"body of a", "a", {b"of": b"a"})
    assert got.delivery_count == 0
    assert got.sequence_number == emulator.active(QUEUE)[0].sequence_number
    assert got.enqueued_time_utc is not None
    assert got.locked_until_utc == got.enqueued_time_utc + timedelta(seconds=LOCK_S)
    receiver.complete_message(got)
    assert emulator.active(QUEUE) == []


def test_a_batch_is_several_messages(
    emulator: ServiceBusEmulator, sender: ServiceBusSender, receiver: ServiceBusReceiver
) -> None:
    """A batch is taken apart, one of a single message too, and its messages are received together."""
    sender.send_messages([message("a"), message("b")])
    sender.send_messages([message("c")])
    assert ids(emulator) == ["a", "b", "c"]
    got = receiver.receive_messages(max_message_count=3, max_wait_time=0.5)
    assert [b"".join(each.body) for each in got] == [b"body of a", b"body of b", b"body of c"]
    for each in got:
        receiver.complete_message(each)


def test_duplicates_are_dropped_within_the_window(emulator: ServiceBusEmulator, sender: ServiceBusSender) -> None:
    """An id is known for the window, within a batch and after it, and then forgotten."""
    sender.send_messages([message("a"), message("a")])
    sender.send_messages(message("a"))
    assert ids(emulator) == ["a"]
    CLOCK.advance(WINDOW_S)
    sender.send_messages(message("a"))
    assert ids(emulator) == ["a", "a"]


def test_abandon_counts_and_the_last_is_death(
    emulator: ServiceBusEmulator,
    sender: ServiceBusSender,
    receiver: ServiceBusReceiver,
    dead: ServiceBusReceiver,
) -> None:
    """An abandoned message keeps its place; after the limit it is among the dead letters with Microsoft's reason."""
    sender.send_messages([message("a"), message("b")])
    receiver.abandon_message(received(receiver))
    again = received(receiver)
    assert (again.message_id, again.delivery_count) == ("a", 1)
    receiver.abandon_message(again)
    assert ids(emulator) == ["b"]
    (letter,) = dead.peek_messages(10, sequence_number=1)
    assert (letter.message_id, letter.dead_letter_reason) == ("a", "MaxDeliveryCountExceeded")


def test_dead_letter_with_a_reason(
    emulator: ServiceBusEmulator,
    sender: ServiceBusSender,
    receiver: ServiceBusReceiver,
    dead: ServiceBusReceiver,
) -> None:
    """Reason and description are kept beside the message's own properties."""
    sender.send_messages(message("a"))
    receiver.dead_letter_message(received(receiver), reason="not JSON", error_description="at 0")
    (letter,) = dead.peek_messages(10, sequence_number=1)
    assert (letter.dead_letter_reason, letter.dead_letter_error_description) == ("not JSON", "at 0")
    assert letter.application_properties is not None
    assert letter.application_properties[b"of"] == b"a"
    assert emulator.active(QUEUE) == []


def test_a_lock_ends_and_can_be_renewed(
    emulator: ServiceBusEmulator, sender: ServiceBusSender, receiver: ServiceBusReceiver
) -> None:
    """A renewed lock counts from then; an ended one cannot be settled or renewed, and the message comes again."""
    sender.send_messages(message("a"))
    got = received(receiver)
    CLOCK.advance(LOCK_S * 0.9)
    assert abs(receiver.renew_message_lock(got) - CLOCK() - timedelta(seconds=LOCK_S)) < timedelta(milliseconds=1)
    CLOCK.advance(LOCK_S * 0.9)
    assert emulator.active(QUEUE)[0].lock is not None
    CLOCK.advance(LOCK_S * 0.2)
    with pytest.raises(MessageLockLostError):
        receiver.renew_message_lock(got)
    with pytest.raises(MessageLockLostError):
        receiver.complete_message(got)
    again = received(receiver)
    assert again.delivery_count == 1
    receiver.complete_message(again)


def test_schedule_and_cancel(
    emulator: ServiceBusEmulator, sender: ServiceBusSender, receiver: ServiceBusReceiver
) -> None:
    """A scheduled message, either way of scheduling, is peeked as such, comes when it is due, and can be cancelled."""
    due = CLOCK() + timedelta(seconds=60)
    later = message("property")
    later.scheduled_enqueue_time_utc = due
    sender.send_messages(later)
    (number,) = sender.schedule_messages(message("request"), due)
    (cancelled,) = sender.schedule_messages([message("cancelled")], due)
    sender.cancel_scheduled_messages(cancelled)
    with pytest.raises(ServiceBusError, match="message-not-found"):
        sender.cancel_scheduled_messages(cancelled)
    peeked = receiver.peek_messages(10, sequence_number=1)
    assert [each.state for each in peeked] == [ServiceBusMessageState.SCHEDULED] * 2
    assert peeked[1].sequence_number == number
    assert receiver.receive_messages(max_wait_time=0.05) == []
    CLOCK.advance(61)
    got = [received(receiver), received(receiver)]
    assert [each.message_id for each in got] == ["property", "request"]
    assert got[0].enqueued_time_utc is not None
    assert abs(got[0].enqueued_time_utc - due) < timedelta(milliseconds=1)
    for each in got:
        receiver.complete_message(each)


def test_peek_shows_everything_in_pages(
    emulator: ServiceBusEmulator, sender: ServiceBusSender, receiver: ServiceBusReceiver
) -> None:
    """A peek takes nothing, shows locked messages too, and begins where it is told."""
    sender.send_messages([message("a"), message("b"), message("c")])
    locked = received(receiver)
    first, second = receiver.peek_messages(2, sequence_number=1)
    assert (first.message_id, second.message_id) == ("a", "b")
    (third,) = receiver.peek_messages(2, sequence_number=(second.sequence_number or 0) + 1)
    assert third.message_id == "c"
    assert receiver.peek_messages(2, sequence_number=(third.sequence_number or 0) + 1) == []
    receiver.complete_message(locked)


def test_what_is_refused(emulator: ServiceBusEmulator, client: ServiceBusClient, sender: ServiceBusSender) -> None:
    """A queue that is not there, a link without the right, and a message of more than 256 KB."""
    with pytest.raises(MessagingEntityNotFoundError), client.get_queue_sender("another"):
        pass
    emulator.faults.add(Step.ATTACH, Effect.UNAUTHORISED, times=2)
    with pytest.raises(ServiceBusAuthorizationError), client.get_queue_receiver(QUEUE):
        pass
    with pytest.raises(MessageSizeExceededError):
        sender.send_messages(ServiceBusMessage("x" * 300_000))


def test_busy_passes(emulator: ServiceBusEmulator, sender: ServiceBusSender, receiver: ServiceBusReceiver) -> None:
    """The SDK sends and peeks again after server-busy, and tells when its tries are used up."""
    emulator.faults.add(Step.SEND, Effect.BUSY)
    sender.send_messages(message("a"))
    assert ids(emulator) == ["a"]
    emulator.faults.add(Step.MANAGE, Effect.BUSY)
    assert len(receiver.peek_messages(5, sequence_number=1)) == 1
    emulator.faults.add(Step.SEND, Effect.BUSY, times=2)
    with pytest.raises(ServiceBusServerBusyError):
        sender.send_messages(message("b"))
    assert ids(emulator) == ["a"]


@pytest.mark.parametrize("effect", [Effect.DROP_BEFORE, Effect.DROP_AFTER])
def test_a_dropped_send_is_there_once(emulator: ServiceBusEmulator, sender: ServiceBusSender, effect: Effect) -> None:
    """The SDK sends again over a new connection; duplicate detection knows what had arrived."""
    emulator.faults.add(Step.SEND, effect)
    sender.send_messages(message("a"))
    assert ids(emulator) == ["a"]
    assert emulator.faults.pending() == []


def test_faults_at_receiving_and_settling(emulator: ServiceBusEmulator, client: ServiceBusClient) -> None:
    """A detached receiver, a dropped delivery that stays locked, a slow one, and a lock lost at settling."""
    with client.get_queue_sender(QUEUE) as sender:
        sender.send_messages(message("a"))
    emulator.faults.add(Step.RECEIVE, Effect.BUSY)
    with client.get_queue_receiver(QUEUE) as receiver, pytest.raises(ServiceBusServerBusyError):
        receiver.receive_messages(max_wait_time=30)
    emulator.faults.add(Step.RECEIVE, Effect.DROP_AFTER)
    with client.get_queue_receiver(QUEUE) as receiver:
        while emulator.active(QUEUE)[0].lock is None:
            with suppress(ServiceBusConnectionError):  # or the SDK comes back first, with nothing
                assert receiver.receive_messages(max_wait_time=0.2) == []
    CLOCK.advance(LOCK_S)
    emulator.faults.add(Step.RECEIVE, Effect.SLOW, delay_s=3)
    emulator.faults.add(Step.SETTLE, Effect.LOCK_LOST)
    with client.get_queue_receiver(QUEUE) as receiver:
        assert receiver.receive_messages(max_wait_time=0.05) == []
        got = received(receiver)
        assert got.delivery_count == 1
        with pytest.raises(MessageLockLostError):
            receiver.complete_message(got)
    assert [entry.message.message_id for entry in emulator.dead(QUEUE)] == ["a"]
