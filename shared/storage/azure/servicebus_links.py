"""Senders and receivers of Service Bus that are opened once, kept, and made anew when they died."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from azure.core.exceptions import AzureError
from azure.servicebus import ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import (
    MessageAlreadySettled,
    MessageLockLostError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusConnectionError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
)

from shared.errors import ConflictError, StorageError, StorageFullError

_Handler = TypeVar("_Handler", bound=ServiceBusSender | ServiceBusReceiver)
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)
_REST = timedelta(seconds=10)  # as Service Bus asks of clients that it answers with "server busy"
_HARMLESS = (MessageLockLostError, MessageSizeExceededError)  # the link is as good as before
_ANSWERED = (MessagingEntityNotFoundError, ServiceBusQuotaExceededError)  # at once: the SDK tries these only once


class KeptLink(Generic[_Handler]):
    """One sender or receiver, used by one thread at a time (the SDK's are not safe for several).

    Opening one costs half a second or more, so it is kept. After an error that may have hurt it, it is closed and the
    next call makes another: the SDK itself goes on using a receiver whose link the service detached as busy.

    Where the SDK's tries were in vain, which takes half a minute, the link rests for 10 s: all who wait for it, or come
    meanwhile, are refused at once. Else each of them would wait as long, one after the other.

    Args:
        make: Makes a sender or receiver, not opened yet.
        queue: Its name, for messages.
        now: The clock; aware times.
    """

    def __init__(self, make: Callable[[], _Handler], queue: str, now: Callable[[], datetime]) -> None:
        self._make = make
        self._queue = queue
        self._now = now
        self._failed: tuple[datetime, str] | None = None
        self._handler: _Handler | None = None
        self._guard = Lock()

    def run(self, doing: str, work: Callable[[_Handler], _Result], *, reconnect: bool = False) -> _Result:
        """Do some work with the open sender or receiver; `doing` completes "could not ..." in messages.

        With `reconnect`, work that met a lost connection is done once more over a new one: for work that the SDK does
        not repeat itself. Raises ConflictError for a lost lock, StorageFullError for a full queue and StorageError for
        everything else that Service Bus says, and while the link rests.
        """
        with self._guard, told(doing, self._queue), self._resting_after_failure(doing):
            handler = self._open()
            try:
                return work(handler)
            except ServiceBusConnectionError:
                if not reconnect:
                    raise
            _log.info("queue %s: the connection was lost; making another", self._queue)
            self._drop()
            return work(self._open())

    def close(self) -> None:
        """Close it; a later call opens another."""
        with self._guard:
            self._drop()

    @contextmanager
    def _resting_after_failure(self, doing: str) -> Iterator[None]:
        if self._failed is not None:
            failed_utc, cause = self._failed
            if timedelta(0) <= self._now() - failed_utc < _REST:  # a clock set back ends the rest
                raise StorageError(
                    f"queue {self._queue}: could not {doing}: Service Bus did not answer a moment ago ({cause}); "
                    f"try again in {_REST.seconds} s"
                )
        try:
            yield
        except _HARMLESS:
            raise
        except ServiceBusError as error:
            self._drop()
            if not isinstance(error, _ANSWERED):
                self._failed = self._now(), type(error).__name__
            raise
        self._failed = None

    def _open(self) -> _Handler:
        if self._handler is None:
            self._handler = self._make()
        # Entering opens the link where it is not open, with the SDK's retries. `receive_messages` would open it too,
        # but within its own short waiting time.
        self._handler.__enter__()
        return self._handler

    def _drop(self) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            with suppress(Exception):  # what a broken connection raises on its way out helps nobody
                handler.close()


@contextmanager
def told(doing: str, queue: str) -> Iterator[None]:
    """Turn the SDK's errors into ours, with its own behind them.

    Those may be logged: they quote addresses and what Service Bus said, and neither keys nor the tokens made from them.
    """
    try:
        yield
    except (MessageLockLostError, MessageAlreadySettled) as error:
        raise ConflictError(
            f"queue {queue}: could not {doing}: the message is no longer locked by this delivery; leave it to the next"
        ) from error
    except ServiceBusQuotaExceededError as error:
        raise StorageFullError(
            f"queue {queue}: could not {doing}: it is full; take messages or dead letters from it"
        ) from error
    except MessagingEntityNotFoundError as error:
        raise StorageError(
            f"queue {queue}: could not {doing}: there is no such queue in this namespace; create it, or mend the name"
        ) from error
    except MessageSizeExceededError as error:
        raise StorageError(
            f"queue {queue}: could not {doing}: a message with its headers is larger than 255 KB; send a pointer"
        ) from error
    except (ServiceBusAuthenticationError, ServiceBusAuthorizationError) as error:
        raise StorageError(
            f"queue {queue}: could not {doing}: Service Bus refused us; give this identity the role Azure Service Bus "
            "Data Receiver and Data Sender on the namespace, or mend the ServiceBusConnection settings"
        ) from error
    except AzureError as error:
        raise StorageError(
            f"queue {queue}: could not {doing}: Service Bus answered {type(error).__name__}; try again later"
        ) from error
