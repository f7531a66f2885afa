"""What a test can make go wrong, and where."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from threading import Lock


class Step(Enum):
    """Where a fault strikes."""

    ATTACH = "a sender or receiver opens its link"
    SEND = "a message arrives"
    RECEIVE = "a message is about to be delivered"
    SETTLE = "a delivery is settled over its link"
    MANAGE = "a request reaches $management: peek, schedule, cancel, renew, settle by token"


class Effect(Enum):
    """What the emulator does instead of what it should."""

    BUSY = "says com.microsoft:server-busy and does nothing"
    UNAUTHORISED = "says amqp:unauthorized-access and does nothing"
    LOCK_LOST = "ends the lock, then says com.microsoft:message-lock-lost"
    DROP_BEFORE = "closes the socket and does nothing"
    DROP_AFTER = "does it, and closes the socket before it can say so"
    SLOW = "does it later"


@dataclass(frozen=True)
class Fault:
    """An effect at a step, `times` times; `delay_s` is how late a slow step is done."""

    step: Step
    effect: Effect
    times: int = 1
    delay_s: float = 0.0


class Faults:
    """The faults still to happen; each strikes in the order they were added in. May be asked from several threads."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._guard = Lock()

    def add(self, step: Step, effect: Effect, *, times: int = 1, delay_s: float = 0.0) -> None:
        """Let something go wrong the next `times` times."""
        with self._guard:
            self._faults.append(Fault(step, effect, times, delay_s))

    def take(self, step: Step) -> Fault | None:
        """The fault that strikes now, if any; it is counted off."""
        with self._guard:
            for index, fault in enumerate(self._faults):
                if fault.step is step:
                    self._faults[index : index + 1] = [replace(fault, times=fault.times - 1)] if fault.times > 1 else []
                    return fault
            return None

    def pending(self) -> list[Fault]:
        """What has not happened yet."""
        with self._guard:
            return list(self._faults)

    def clear(self) -> None:
        """Let everything go well again."""
        with self._guard:
            self._faults.clear()
