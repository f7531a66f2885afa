"""What the host hands over with each kind of trigger, in the JSON form that the worker takes: {kind: value}.

.NET strings and byte arrays keep their kind; everything else (numbers, times, addresses, dictionaries) comes as JSON
(azure-functions-host, GrpcMessageConversionExtensions).
"""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

Data = dict[str, Any]


@dataclass(frozen=True)
class Payload:
    """The trigger's value, and what the host tells about it."""

    trigger: str
    data: Data
    metadata: Mapping[str, Data]


def timer(now_utc: datetime, *, past_due: bool) -> Payload:
    """A tick of a timer whose schedule is monitored."""
    status = {"Last": _time(now_utc - timedelta(minutes=1)), "Next": _time(now_utc + timedelta(minutes=1))}
    tick = {
        "Schedule": {"AdjustForDST": True},
        "ScheduleStatus": status | {"LastUpdated": status["Last"]},
        "IsPastDue": past_due,
    }
    return Payload("timerTrigger", _json(tick), {})


def service_bus(
    now_utc: datetime,
    *,
    body: str,
    message_id: str,
    delivery_count: int = 1,
    sequence_number: int = 1,
    enqueued_utc: datetime | None = None,
    lock_token: str | None = None,
    application_properties: Mapping[str, object] | None = None,
) -> Payload:
    """A message of a queue, one at a time, locked for 5 minutes; each delivery has a token of its own."""
    enqueued_utc = enqueued_utc or now_utc
    properties = _json(dict(application_properties or {}))
    told = {
        "MessageId": _text(message_id),
        "DeliveryCount": _json(delivery_count),
        "SequenceNumber": _json(sequence_number),
        "EnqueuedSequenceNumber": _json(sequence_number),
        "EnqueuedTimeUtc": _json(_time(enqueued_utc)),
        "ExpiresAtUtc": _json(_time(enqueued_utc + timedelta(days=14))),
        "LockedUntil": _json(_time(now_utc + timedelta(minutes=5))),
        "LockToken": _text(lock_token or str(uuid.uuid4())),
        "ContentType": _text("application/json"),
        "ApplicationProperties": properties,
        "UserProperties": properties,
    }
    return Payload("serviceBusTrigger", _text(body), _with_fields_of(body, told))


def blob(
    now_utc: datetime, *, name: str, data: bytes, uri: str, binary: bool, metadata: Mapping[str, str] | None = None
) -> Payload:
    """A blob that was written; `name` begins with its container.

    A trigger that does not ask for binary data gets the bytes as text.
    """
    properties = {"ContentLength": len(data), "ContentType": "application/json", "LastModified": _time(now_utc)}
    told = {
        "BlobTrigger": _text(name),
        "name": _text(name.partition("/")[2]),
        "Uri": _json(uri),
        "Properties": _json(properties),
        "Metadata": _json(dict(metadata or {})),
    }
    if binary:
        return Payload("blobTrigger", _bytes(data), told)
    text = data.decode(errors="replace")
    return Payload("blobTrigger", _text(text), _with_fields_of(text, told))


def http(method: str, path: str, *, params: Mapping[str, str], route_params: Mapping[str, str], body: bytes) -> Payload:
    """A request; `params` are those of its query."""
    query = f"?{urlencode(params)}" if params else ""
    request = {
        "method": method,
        "url": f"http://127.0.0.1:7071{quote(path)}{query}",
        "headers": {"host": "127.0.0.1:7071"},
        "params": dict(route_params),
        "query": dict(params),
        "body": _bytes(body),
    }
    return Payload("httpTrigger", {"http": request}, {})


def _with_fields_of(text: str, told: dict[str, Data]) -> dict[str, Data]:
    """What is told, and over it the fields of the value itself where it is a JSON object.

    The host does so with every value it hands over as text (azure-functions-host, Utility.ApplyBindingData), whatever
    the case of the names: a field `messageId` in a body hides the message's own id.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return told
    if not isinstance(value, dict):
        return told
    fields = {name: found for name, found in value.items() if found is not None and not isinstance(found, list)}
    hidden = {name.lower() for name in fields}
    kept = {name: data for name, data in told.items() if name.lower() not in hidden}
    return kept | {name: _text(found) if isinstance(found, str) else _json(found) for name, found in fields.items()}


def _text(value: str) -> Data:
    return {"string": value}


def _json(value: object) -> Data:
    return {"json": json.dumps(value)}


def _bytes(value: bytes) -> Data:
    return {"bytes": base64.b64encode(value).decode()}


def _time(when_utc: datetime) -> str:
    return when_utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
