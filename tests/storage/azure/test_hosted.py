"""What the Functions host received is settled by returning or raising, and retried by a copy."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")

from shared.errors import LeftToHost
from shared.storage.azure.hosted import HostSettled, delivery_of
from shared.storage.ports import Delivery, Message
from tests.contract.azure_queue import NAME, AzureQueue

A = Message("a", "{}")


def received(bus: AzureQueue) -> Delivery:
    """The message that is due."""
    delivery = bus.queue.receive()
    assert delivery is not None
    return delivery


def hosted(delivery: Delivery, *, host_count: int) -> Delivery:
    """The delivery as a trigger function gets it from the host."""
    return delivery_of(
        message_id=delivery.message.id,
        body=delivery.message.body.encode(),
        delivery_count=host_count,
        application_properties={"haro-deliveries": delivery.delivery_count - host_count},
        enqueued_utc=delivery.enqueued_utc.replace(tzinfo=None),
        locked_until_utc=None,
        lock_token=delivery.lock_token,
    )


def test_the_host_completes_what_is_tried_again_later(bus: AzureQueue) -> None:
    """Abandoning schedules a copy and returns; when the host has completed the original, the copy is all there is."""
    bus.queue.send([A])
    delivery = received(bus)
    settle = HostSettled(bus.queue)
    settle.abandon(hosted(delivery, host_count=1), reason="server down", delay_s=60)
    settle.complete(delivery)
    assert len(bus.emulator.active(NAME)) == 2
    bus.queue.complete(delivery)
    bus.clock.advance(61)
    again = received(bus)
    assert (again.message, again.delivery_count, again.enqueued_utc) == (A, 2, delivery.enqueued_utc)


def test_the_host_sets_aside_what_nobody_can_read(bus: AzureQueue) -> None:
    """Its first delivery leaves a copy in its place, which then fails until it is dead, and tells the reason."""
    bus.queue.send([A])
    delivery = received(bus)
    settle = HostSettled(bus.queue)
    settle.dead_letter(hosted(delivery, host_count=1), reason="not JSON")
    bus.queue.complete(delivery)  # as the host does when the function returned
    for count in range(1, bus.max_deliveries + 1):
        again = received(bus)
        assert (again.message, again.delivery_count) == (A, 1 + count)
        with pytest.raises(LeftToHost, match=f"delivery {1 + count}: not JSON"):
            settle.dead_letter(hosted(again, host_count=count), reason="not JSON")
        bus.clock.advance(bus.lock_s)  # as good as the host's abandoning
    assert bus.queue.receive() is None
    (dead,) = bus.queue.dead_letters()
    assert dead.message == A
    assert dead.reason.startswith("MaxDeliveryCountExceeded")
    assert dead.reason.endswith("given back before because: not JSON")


def test_the_host_sets_aside_what_failed_to_the_last(bus: AzureQueue) -> None:
    """The last delivery makes the function fail with the reason, and no copy is made."""
    settle = HostSettled(bus.queue)
    last = delivery_of(
        message_id="a~copy",
        body=b"{}",
        delivery_count=2,
        application_properties={"haro-id": "a", "haro-deliveries": 1, "haro-sent-utc": "2026-03-20T22:35:59+00:00"},
        enqueued_utc=None,
        locked_until_utc=None,
        lock_token=None,
    )
    assert (last.message.id, last.delivery_count) == ("a", bus.max_deliveries)
    assert last.enqueued_utc == datetime(2026, 3, 20, 22, 35, 59, tzinfo=UTC)
    with pytest.raises(LeftToHost, match="delivery 3: still down"):
        settle.abandon(last, reason="still down", delay_s=600)
    assert bus.emulator.active(NAME) == []
