"""How the emulator says no: with a condition, or by closing the socket."""

from __future__ import annotations

import uuid
from typing import Any

from proton import Condition, Delivery, Terminus, symbol

BUSY = "com.microsoft:server-busy"
LOCK_LOST = "com.microsoft:message-lock-lost"
UNAUTHORISED = "amqp:unauthorized-access"


def condition(name: str, text: str) -> Condition:
    """An AMQP error; without an info map the SDK fails with an IndexError."""
    return Condition(name, text, {symbol("com.microsoft:tracking-id"): uuid.uuid4().hex})


def reject(delivery: Any, name: str, text: str) -> None:
    """Refuse a message, or a settlement."""
    delivery.local.condition = condition(name, text)
    delivery.update(Delivery.REJECTED)
    delivery.settle()


def refuse(link: Any, name: str, text: str) -> None:
    """Refuse a link: it attaches with a null terminus and is closed at once (AMQP 1.0, 2.6.3)."""
    (link.source if link.is_sender else link.target).type = Terminus.UNSPECIFIED
    link.open()
    link.condition = condition(name, text)
    link.close()


def drop(connection: Any) -> None:
    """Close the socket without a word."""
    if connection.transport is not None:
        connection.transport.close_head()
        connection.transport.close_tail()
