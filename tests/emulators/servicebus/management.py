"""Requests and answers: `$cbs` takes a token, `queue/$management` peeks, schedules, cancels, renews and settles.

Operations, keys and status codes are those of Microsoft's page "AMQP 1.0 in Azure Service Bus: request-response-based
operations".
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from proton import UNDESCRIBED, Array, Data, Message, int32, symbol

from tests.emulators.servicebus import wire
from tests.emulators.servicebus.broker import LockLost, MessageNotFound, Queue

TOKENS = "$cbs"
SUFFIX = "/$management"
_VENDOR = "com.microsoft:"
_Body = Mapping[str, Any]


def answer(queue: Queue | None, payload: bytes) -> bytes:
    """The answer to a request; `queue` is None for `$cbs`, where every token is good."""
    request = Message()
    request.decode(payload)
    if queue is None:
        return _encoded(request, {"status-code": int32(202), "status-description": "Accepted"}, None)
    properties: _Body = request.properties or {}
    operation, asked = str(properties.get("operation")), cast("_Body", request.body)
    try:
        body = _OPERATIONS[operation.removeprefix(_VENDOR)](queue, asked)
    except LockLost:
        return _error(request, 410, _VENDOR + "message-lock-lost", "The lock supplied is invalid.")
    except MessageNotFound:
        return _error(request, 404, _VENDOR + "message-not-found", "No such scheduled message.")
    except KeyError:
        return _error(request, 501, "amqp:not-implemented", f"The emulator does not know {operation!r} in this form.")
    found = body is not None or not operation.endswith("peek-message")
    return _encoded(request, {"statusCode": int32(200 if found else 204), "statusDescription": "OK"}, body)


def failure(payload: bytes, condition: str, text: str) -> bytes:
    """The answer to a request that an injected fault met."""
    request = Message()
    request.decode(payload)
    return _error(request, 401 if "unauthorized" in condition else 410 if "lost" in condition else 503, condition, text)


def _peek(queue: Queue, body: _Body) -> _Body | None:
    entries = [entry for entry in queue.entries() if entry.sequence_number >= body["from-sequence-number"]]
    peeked = [{"message": wire.outgoing(entry)} for entry in entries[: body["message-count"]]]
    return {"messages": peeked} if peeked else None


def _schedule(queue: Queue, body: _Body) -> _Body:
    messages = [wire.incoming(bytes(each["message"]))[0] for each in body["messages"]]
    return {"sequence-numbers": _array(Data.LONG, [queue.accept(message) or 0 for message in messages])}


def _cancel(queue: Queue, body: _Body) -> None:
    for number in _elements(body["sequence-numbers"]):
        queue.cancel(number)


def _renew(queue: Queue, body: _Body) -> _Body:
    ends = [wire.to_timestamp(queue.renew(token)) for token in _elements(body["lock-tokens"])]
    return {"expirations": _array(Data.TIMESTAMP, ends)}


def _settle(queue: Queue, body: _Body) -> None:
    settle: dict[str, Callable[[uuid.UUID], None]] = {
        "completed": queue.complete,
        "abandoned": queue.abandon,
        "suspended": lambda token: queue.dead_letter(
            token, body.get("deadletter-reason"), body.get("deadletter-description")
        ),
    }
    for token in _elements(body["lock-tokens"]):
        settle[body["disposition-status"]](token)


_OPERATIONS: dict[str, Callable[[Queue, _Body], _Body | None]] = {
    "peek-message": _peek,
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel,
    "renew-lock": _renew,
    "update-disposition": _settle,
}


def _array(kind: int, values: Iterable[Any]) -> Array:
    undescribed: Any = UNDESCRIBED
    return Array(undescribed, kind, *values)


def _elements(values: Any) -> Iterable[Any]:
    return values.elements if isinstance(values, Array) else values


def _error(request: Message, status: int, condition: str, text: str) -> bytes:
    return _encoded(
        request, {"statusCode": int32(status), "statusDescription": text, "errorCondition": symbol(condition)}, None
    )


def _encoded(request: Message, properties: dict[str, Any], body: _Body | None) -> bytes:
    reply = Message(body=cast("dict[Any, Any] | None", body), properties=properties)
    reply.correlation_id = request.id
    return bytes(reply.encode())
