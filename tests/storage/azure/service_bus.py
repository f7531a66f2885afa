"""Two messages, and what is on the Service Bus queue."""

from __future__ import annotations

from shared.storage.ports import Delivery, Message
from tests.contract.azure_queue import NAME, AzureQueue

A, B = Message("a", "{}"), Message("b", "{}")


def received(bus: AzureQueue) -> Delivery:
    """The message that is due."""
    delivery = bus.queue.receive()
    assert delivery is not None
    return delivery


def active_ids(bus: AzureQueue) -> list[str | None]:
    """The message ids on the queue, as Service Bus knows them."""
    return [entry.message.message_id for entry in bus.emulator.active(NAME)]
