"""Messages of the port as Service Bus carries them, and back; copies of them for later and for another try.

A copy needs a message id of its own, or duplicate detection would swallow it. What it was is kept in its application
properties: `haro-id`, the id it was sent with; `haro-deliveries`, how often it was delivered before; `haro-reason`, why
it was given back; `haro-sent-utc`, when it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.amqp import AmqpMessageBodyType

from shared.storage.ports import DeadLetter, Delivery, Message

ID, DELIVERIES, REASON, SENT_UTC = "haro-id", "haro-deliveries", "haro-reason", "haro-sent-utc"
_OURS = {ID, DELIVERIES, REASON, SENT_UTC, "DeadLetterReason", "DeadLetterErrorDescription"}
_MAX_REASON = 4096  # characters; Service Bus: DeadLetterReason
_ID_PART = 80  # of a copy's id; with a token (36) or a sequence number (at most 19) it stays below 128
_NOTE = re.compile(r"set aside (\S+) on delivery (\d+)")


def to_service_bus(message: Message) -> ServiceBusMessage:
    """The message as it is sent."""
    return _outgoing(message, message.id, {})


def retry_copy(delivery: Delivery, *, reason: str, due_utc: datetime) -> ServiceBusMessage:
    """A copy to be delivered at `due_utc`. Its id comes from this delivery: sent twice, it is there once."""
    copy = _outgoing(
        delivery.message,
        f"{delivery.message.id[:_ID_PART]}~{delivery.lock_token}",
        {
            ID: delivery.message.id,
            DELIVERIES: delivery.delivery_count,
            REASON: cut(reason),
            SENT_UTC: delivery.enqueued_utc.isoformat(),
        },
    )
    copy.scheduled_enqueue_time_utc = due_utc
    return copy


def replay_copy(dead: ServiceBusReceivedMessage) -> ServiceBusMessage:
    """A copy as if new. Its id comes from this dead letter: sent twice, it is there once."""
    message = message_of(dead)
    return _outgoing(message, f"{message.id[:_ID_PART]}~replay-{dead.sequence_number}", {ID: message.id})


def message_of(received: ServiceBusReceivedMessage) -> Message:
    """The message as it was sent first."""
    return _message(_id(received), _body(received), properties_of(received))


def delivery_of(
    *,
    message_id: str,
    body: str,
    delivery_count: int,
    properties: Mapping[str, object],
    enqueued_utc: datetime,
    locked_until_utc: datetime,
    lock_token: str,
) -> Delivery:
    """A delivery from the fields of a received message; `delivery_count` is Service Bus' own, from 1."""
    sent = properties.get(SENT_UTC)
    return Delivery(
        message=_message(message_id, body, properties),
        delivery_count=_count(properties) + delivery_count,
        enqueued_utc=datetime.fromisoformat(str(sent)) if sent else enqueued_utc,
        locked_until_utc=locked_until_utc,
        lock_token=lock_token,
    )


def dead_letter_of(dead: ServiceBusReceivedMessage) -> DeadLetter:
    """A dead letter with its reason, whoever set it aside.

    Service Bus does not say when a message died. We note it when we set one aside; for one that Service Bus buried
    itself, `dead_lettered_utc` is the time it was enqueued at.
    """
    properties = properties_of(dead)
    reason, description = dead.dead_letter_reason or "", dead.dead_letter_error_description or ""
    note = _NOTE.fullmatch(description)
    if note:
        return DeadLetter(message_of(dead), reason, int(note[2]), datetime.fromisoformat(note[1]))
    before = f"; given back before because: {properties[REASON]}" if properties.get(REASON) else ""
    return DeadLetter(
        message=message_of(dead),
        reason=": ".join(filter(None, (reason, description))) + before,
        delivery_count=_count(properties) + (dead.delivery_count or 0),
        dead_lettered_utc=_enqueued_utc(dead),
    )


def death_note(delivery: Delivery, now_utc: datetime) -> str:
    """What is written beside the reason of a dead letter, for `dead_letter_of` and for people."""
    return f"set aside {now_utc.isoformat()} on delivery {delivery.delivery_count}"


def sent_utc_of(received: ServiceBusReceivedMessage) -> datetime:
    """When the message was first sent, copies counted as what they are copies of."""
    sent = properties_of(received).get(SENT_UTC)
    return datetime.fromisoformat(str(sent)) if sent else _enqueued_utc(received)


def is_retry(received: ServiceBusReceivedMessage) -> bool:
    """Whether a peeked message was given back, or its lock ended; Service Bus counts no delivery before that."""
    return _count(properties_of(received)) + (received.delivery_count or 0) > 0


def delivery_from(received: ServiceBusReceivedMessage) -> Delivery:
    """What the SDK received, as a delivery. The AMQP header counts deliveries from 0."""
    return delivery_of(
        message_id=_id(received),
        body=_body(received),
        delivery_count=(received.delivery_count or 0) + 1,
        properties=properties_of(received),
        enqueued_utc=_enqueued_utc(received),
        locked_until_utc=received.locked_until_utc or datetime.now(UTC),
        lock_token=str(received.lock_token),
    )


def properties_of(received: ServiceBusReceivedMessage) -> dict[str, object]:
    """The application properties; the SDK gives names and texts as bytes."""
    return {str(_text(name)): _text(value) for name, value in (received.application_properties or {}).items()}


def cut(reason: str) -> str:
    """The reason, as long as Service Bus takes one."""
    return reason[:_MAX_REASON]


def _outgoing(message: Message, message_id: str, ours: Mapping[str, str | int]) -> ServiceBusMessage:
    return ServiceBusMessage(
        message.body,
        message_id=message_id,
        content_type="application/json",
        application_properties=dict((*message.headers.items(), *ours.items())),
    )


def _message(message_id: str, body: str, properties: Mapping[str, object]) -> Message:
    headers = {name: value for name, value in properties.items() if name not in _OURS and isinstance(value, str)}
    return Message(str(properties.get(ID) or message_id), body, headers)


def _id(received: ServiceBusReceivedMessage) -> str:
    return received.message_id or f"sequence-{received.sequence_number}"


def _body(received: ServiceBusReceivedMessage) -> str:
    if received.body_type != AmqpMessageBodyType.DATA:
        return str(received)  # nothing of ours; the stage will say that it cannot read it
    return b"".join(received.body).decode(errors="replace")


def _count(properties: Mapping[str, object]) -> int:
    return int(str(properties.get(DELIVERIES, 0)))


def _enqueued_utc(received: ServiceBusReceivedMessage) -> datetime:
    return received.enqueued_time_utc or datetime.now(UTC)


def _text(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
