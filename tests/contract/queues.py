"""Steps of the queue's contract suites."""

from __future__ import annotations

import json

from shared.storage.ports import Delivery, Message, MessageQueue


def messages(*ids: str) -> list[Message]:
    """Messages of these ids."""
    return [Message(message_id, json.dumps({"id": message_id})) for message_id in ids]


def received(queue: MessageQueue) -> Delivery:
    """What is due, which there is."""
    delivery = queue.receive()
    assert delivery is not None, "a message was due"
    return delivery


def drained(queue: MessageQueue) -> list[Delivery]:
    """Everything due, each completed."""
    deliveries = []
    while (delivery := queue.receive()) is not None:
        queue.complete(delivery)
        deliveries.append(delivery)
    return deliveries


def ids(deliveries: list[Delivery]) -> list[str]:
    """The ids of what was delivered, in order."""
    return [delivery.message.id for delivery in deliveries]
