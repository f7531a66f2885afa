"""Messages keep what they are on their way through Service Bus and its copies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from azure.servicebus import ServiceBusMessage
from hypothesis import given
from hypothesis import strategies as st

from shared.storage.azure import servicebus_messages as messages_of
from shared.storage.ports import Delivery, Message

IDS = st.text(min_size=1, max_size=128)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as hypothesis asks
MESSAGES = st.builds(
    Message, id=IDS, body=st.text(), headers=st.dictionaries(st.sampled_from(["traceparent", "tracestate"]), st.text())
)
DELIVERIES = st.builds(
    Delivery,
    message=MESSAGES,
    delivery_count=st.integers(1, 100),
    enqueued_utc=MOMENTS,
    locked_until_utc=MOMENTS,
    lock_token=st.uuids().map(str),
)


def delivered(copy: ServiceBusMessage, *, count: int) -> Delivery:
    """The copy as it is received, `count` times by now."""
    return messages_of.delivery_of(
        message_id=str(copy.message_id),
        body=b"".join(copy.body).decode(),
        delivery_count=count,
        properties={str(name): value for name, value in (copy.application_properties or {}).items()},
        enqueued_utc=datetime(2100, 1, 2, tzinfo=UTC),
        locked_until_utc=datetime(2100, 1, 2, tzinfo=UTC),
        lock_token=str(count),
    )


@given(delivery=DELIVERIES, reason=st.text(), count=st.integers(1, 5))
def test_a_copy_is_the_message_again(delivery: Delivery, reason: str, count: int) -> None:
    """A retry copy, and a copy of that copy, give back id, body, headers and first time, and go on counting."""
    due_utc = delivery.enqueued_utc + timedelta(seconds=60)
    for _ in range(2):
        copy = messages_of.retry_copy(delivery, reason=reason, due_utc=due_utc)
        again = delivered(copy, count=count)
        assert again.message == delivery.message
        assert again.message.headers == delivery.message.headers
        assert again.enqueued_utc == delivery.enqueued_utc
        assert again.delivery_count == delivery.delivery_count + count
        assert len(str(copy.message_id)) <= 128
        delivery = again


@given(delivery=DELIVERIES, other=st.uuids().map(str))
def test_each_delivery_has_a_copy_id_of_its_own(delivery: Delivery, other: str) -> None:
    """The same delivery gives the same message id, another delivery another, and never the message's own."""
    ids = {
        messages_of.retry_copy(each, reason="", due_utc=each.enqueued_utc).message_id
        for each in (
            delivery,
            delivery,
            Delivery(delivery.message, 1, delivery.enqueued_utc, delivery.locked_until_utc, f"{other}-2"),
        )
    }
    assert len(ids) == 2
    assert delivery.message.id not in ids
