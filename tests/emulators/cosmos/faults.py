"""What can go wrong on purpose: the next requests of a kind are refused, dropped or kept waiting."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Answer:
    """Nothing is done; this is the answer. `retry_after_ms` goes with a 429."""

    status: int
    substatus: int = 0
    retry_after_ms: int | None = None


@dataclass(frozen=True)
class Drop:
    """The connection breaks without an answer, before the work or, with `after_work`, when it is done."""

    after_work: bool = False


@dataclass(frozen=True)
class Slow:
    """The answer comes, `seconds` late."""

    seconds: float


Fault = Answer | Drop | Slow


@dataclass
class _Planned:
    fault: Fault
    left: int
    method: str | None
    container: str | None


@dataclass
class Faults:
    """The faults still to come, in order. Only requests for documents meet them: the rest is set-up."""

    _planned: list[_Planned] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault, *, times: int = 1, method: str | None = None, container: str | None = None) -> None:
        """Let the next `times` requests for documents meet the fault: of any method and container, or of these."""
        with self._lock:
            self._planned.append(_Planned(fault, times, method, container))

    def pending(self) -> list[Fault]:
        """What has not happened yet."""
        with self._lock:
            return [planned.fault for planned in self._planned if planned.left]

    def clear(self) -> None:
        """Let everything go well again."""
        with self._lock:
            self._planned.clear()

    def next_for(self, method: str, container: str) -> Fault | None:
        """The fault that this request meets, which is then used up."""
        with self._lock:
            for planned in self._planned:
                if planned.left and planned.method in {None, method} and planned.container in {None, container}:
                    planned.left -= 1
                    return planned.fault
        return None
