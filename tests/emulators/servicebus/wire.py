"""AMQP bytes of messages: taken apart as they come in, put together as they go out.

A message is a row of sections (AMQP 1.0, part 3.2). Service Bus adds annotations and a header of its own; a batch is a
message whose data sections each hold a whole message.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from proton import Data, Described, Message, int32, symbol, timestamp, uint, ulong

from tests.emulators.servicebus.broker import Entry, Incoming

_HEADER, _DELIVERY_ANNOTATIONS, _ANNOTATIONS, _PROPERTIES, _APPLICATION_PROPERTIES, _DATA = range(0x70, 0x76)
_SECTION = b"\x00\x53"  # a described value whose descriptor is a small ulong
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_SCHEDULED = 2  # Microsoft's message state of a scheduled message; 0 is active


def incoming(payload: bytes) -> list[Incoming]:
    """The messages in what one transfer brought: one, or those of a batch."""
    return [_message(each) for each in _unbatched(payload)]


def outgoing(entry: Entry) -> bytes:
    """A message as a receiver or a peek gets it."""
    parts = {code: raw for code, _, raw in _sections(entry.message.payload) if code != _DATA}
    data = b"".join(raw for code, _, raw in _sections(entry.message.payload) if code == _DATA)
    # proton's own encoder leaves out a delivery count of 0, which Service Bus sends
    parts[_HEADER] = _section(_HEADER, [None, None, None, None, uint(entry.failed_deliveries)])
    parts[_ANNOTATIONS] = _section(_ANNOTATIONS, _annotations(entry))
    if entry.death:
        properties: dict[str, Any] = dict(entry.death)
        for code, value, _ in _sections(entry.message.payload):
            if code == _APPLICATION_PROPERTIES:
                properties = {**value, **properties}
        parts[_APPLICATION_PROPERTIES] = _section(_APPLICATION_PROPERTIES, properties)
    return b"".join(parts[code] for code in sorted(parts)) + data


def to_timestamp(moment_utc: datetime) -> timestamp:
    """An AMQP timestamp: whole milliseconds since 1970, those that are over."""
    return timestamp((moment_utc - _EPOCH_UTC) // timedelta(milliseconds=1))


def _annotations(entry: Entry) -> dict[symbol, object]:
    annotations: dict[symbol, object] = {
        symbol("x-opt-sequence-number"): entry.sequence_number,
        symbol("x-opt-enqueued-time"): to_timestamp(entry.enqueued_utc),
        symbol("x-opt-message-state"): int32(_SCHEDULED if entry.scheduled else 0),
    }
    if entry.lock is not None:
        annotations[symbol("x-opt-locked-until")] = to_timestamp(entry.lock.until_utc)
    return annotations


def _message(payload: bytes) -> Incoming:
    message = Message()
    message.decode(payload)
    annotations: Mapping[object, int] = {str(key): value for key, value in (message.annotations or {}).items()}
    due_ms = annotations.get("x-opt-scheduled-enqueue-time")
    due_utc = None if due_ms is None else datetime.fromtimestamp(due_ms / 1000, UTC)
    return Incoming(None if message.id is None else str(message.id), payload, due_utc)


def _unbatched(payload: bytes) -> list[bytes]:
    data = [bytes(value) for code, value, _ in _sections(payload) if code == _DATA]
    is_batch = bool(data) and all(each.startswith(_SECTION) for each in data)  # no text begins with a zero byte
    return data if is_batch else [payload]


def _sections(payload: bytes) -> Iterator[tuple[int, Any, bytes]]:
    """Code, value and raw bytes of each section."""
    while payload:
        data = Data()
        length = data.decode(payload)
        data.rewind()
        data.next()
        described: Any = data.get_object()
        yield int(described.descriptor), described.value, payload[:length]
        payload = payload[length:]


def _section(code: int, value: Any) -> bytes:
    data = Data()
    data.put_object(Described(ulong(code), value))
    return bytes(data.encode())
