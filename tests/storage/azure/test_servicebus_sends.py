"""What the Service Bus queue sends: each message once, in as many batches as it takes."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")


from shared.errors import StorageError
from shared.storage.ports import Message
from tests.contract.azure_queue import AzureQueue
from tests.emulators.servicebus import Effect, Step
from tests.storage.azure.service_bus import A, B, active_ids

# Dropped connections the SDK leaves to the garbage collector, which may come for them in a later test.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


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
