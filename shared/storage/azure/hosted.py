"""Messages that the Functions host received: it settles them itself, by whether the function returns or raises."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from shared.deliveries import HostSettles
from shared.storage.azure import servicebus_messages
from shared.storage.azure.servicebus import ServiceBusQueue
from shared.storage.ports import Delivery


class HostSettled(HostSettles):
    """The `Settlement` of a Service Bus trigger in Python, where a function cannot settle its message itself."""

    def __init__(self, queue: ServiceBusQueue) -> None:
        self._queue = queue

    def abandon(self, delivery: Delivery, *, reason: str, delay_s: float = 0.0) -> None:
        """Schedule a copy; the host completes the original when the function returns.

        A crash between the two leaves both. On the last delivery the message is set aside.
        """
        if delivery.delivery_count >= self._queue.max_deliveries:
            self.dead_letter(delivery, reason=reason)
        else:
            self._queue.retry_later(delivery, reason=reason, delay_s=delay_s)

    def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """Raise LeftToHost; but on its first delivery the message only gets a copy in its place, which has the reason.

        What fails at the host up to the queue's own limit is buried with Service Bus' reason alone. A copy says in its
        properties why it was made, so that the dead letter tells that too.
        """
        if delivery.delivery_count == 1:
            self._queue.retry_later(delivery, reason=reason, delay_s=0.0)
        else:
            super().dead_letter(delivery, reason=reason)


def delivery_of(
    *,
    message_id: str,
    body: bytes,
    delivery_count: int | None,
    application_properties: Mapping[str, object] | None,
    enqueued_utc: datetime | None,
    locked_until_utc: datetime | None,
    lock_token: str | None,
) -> Delivery:
    """A delivery from the fields of a trigger message; any but id and body may be missing.

    The host counts deliveries from 1. It renews the lock while the function runs, so a missing end of the lock is told
    as the end of time. Copies are named by the lock token, or without one by time and count.
    """
    enqueued = _utc(enqueued_utc) or datetime.now(UTC)
    count = delivery_count or 1
    return servicebus_messages.delivery_of(
        message_id=message_id,
        body=body.decode(errors="replace"),
        delivery_count=count,
        properties=application_properties or {},
        enqueued_utc=enqueued,
        locked_until_utc=_utc(locked_until_utc) or datetime.max.replace(tzinfo=UTC),
        lock_token=lock_token or f"{enqueued:%Y%m%dT%H%M%S%f}-{count}",
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
