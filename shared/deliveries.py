"""What becomes of one delivered message: done, tried again later, or set aside with its reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import ConflictError, HaroError, LeftToHost, MessageError
from shared.storage.ports import Delivery, Settlement

_FIRST_RETRY_S = 5.0
_LONGEST_RETRY_S = 600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SetAside:
    """A message that could not be processed, which now lies among the dead letters with its reason."""

    message_id: str
    reason: str


class HostSettles:
    """The `Settlement` of a message that a function host received: the host settles it, by whether we raise."""

    def complete(self, delivery: Delivery) -> None:
        """Nothing to do: the host completes the message when the function returns."""

    def abandon(self, delivery: Delivery, *, reason: str, delay_s: float = 0.0) -> None:  # noqa: ARG002 - the host knows no delay
        """Raise LeftToHost, for the function to fail with: the host delivers the message again at once."""
        self.dead_letter(delivery, reason=reason)

    def dead_letter(self, delivery: Delivery, *, reason: str) -> None:
        """Raise LeftToHost: after the queue's own limit of deliveries the message is among the dead letters."""
        raise LeftToHost(f"message {delivery.message.id}, delivery {delivery.delivery_count}: {reason}")


def handle(
    delivery: Delivery, work: Callable[[Delivery], object], *, settle: Settlement, max_deliveries: int
) -> SetAside | None:
    """Take one message through `work` and settle it: whatever happens to it, the next one gets its turn.

    A message that nobody can read is set aside at once; every other error gives it back, to be delivered again after
    5 s, then twice as long each time up to 10 minutes, `max_deliveries` times in all.
    """
    try:
        try:
            work(delivery)
        except MessageError as error:
            settle.dead_letter(delivery, reason=str(error))
            return _set_aside(delivery, str(error))
        except HaroError as error:
            return _give_back(delivery, str(error), settle, max_deliveries)
        except Exception as error:  # noqa: BLE001 - a bug met by one message must not stop the others
            _log.exception("a bug, met with message %s", delivery.message.id)
            return _give_back(delivery, f"{type(error).__name__}: {error}", settle, max_deliveries)
        settle.complete(delivery)
    except ConflictError:
        _log.warning("message %s took longer than its lock: another worker has it now", delivery.message.id)
    return None


def _give_back(delivery: Delivery, reason: str, settle: Settlement, max_deliveries: int) -> SetAside | None:
    wait_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** (delivery.delivery_count - 1))
    settle.abandon(delivery, reason=reason, delay_s=wait_s)
    if delivery.delivery_count >= max_deliveries:
        return _set_aside(delivery, reason)
    _log.info("message %s is tried again in %.0f s: %s", delivery.message.id, wait_s, reason)
    return None


def _set_aside(delivery: Delivery, reason: str) -> SetAside:
    _log.error("message %s is set aside (`haro dead-letters`): %s", delivery.message.id, reason)
    return SetAside(delivery.message.id, reason)
