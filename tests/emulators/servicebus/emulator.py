"""The emulator as a test sees it: started, asked, broken on purpose, stopped."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from proton.reactor import Container

from tests.emulators.servicebus.amqp import AmqpServer
from tests.emulators.servicebus.broker import DEAD_LETTERS, Broker, Entry, Queue, QueueSettings
from tests.emulators.servicebus.faults import Faults

_START_S = 10.0
logging.getLogger("proton").setLevel(logging.CRITICAL)  # connections that break are what this is for


class ServiceBusEmulator:
    """A Service Bus namespace on a loopback port; a context manager.

    Args:
        queues: Names and settings of its queues.
        clock: Its time, aware; what is due is looked at 50 times a second and with each request.
        port: Where to listen; 0 takes a free port.
    """

    KEY = "bm90IGEgc2VjcmV0LCBidXQgbG9va3MgbGlrZSBvbmU="

    def __init__(
        self,
        queues: Mapping[str, QueueSettings],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        port: int = 0,
    ) -> None:
        self.faults = Faults()
        self.port = port
        self._broker = Broker(queues, clock)
        self._listening = threading.Event()
        self._server = AmqpServer(self._broker, self.faults, self._on_listening)
        self._server.port = port
        self._thread = threading.Thread(target=self._run, name="service-bus-emulator", daemon=True)

    def __enter__(self) -> Self:
        """Listen; raises RuntimeError where that does not work, say because the port is taken."""
        self._thread.start()
        if not self._listening.wait(_START_S):
            raise RuntimeError(f"the Service Bus emulator did not come up on port {self.port}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Drop all connections and stop."""
        self._server.stopping = True
        self._thread.join(_START_S)

    @property
    def connection_string(self) -> str:
        """What `ServiceBusClient.from_connection_string` takes; the last part turns TLS off and allows any port."""
        return (
            f"Endpoint=sb://127.0.0.1:{self.port};SharedAccessKeyName=emulator;SharedAccessKey={self.KEY};"
            "UseDevelopmentEmulator=true"
        )

    def active(self, name: str) -> list[Entry]:
        """What is on a queue: due, scheduled and locked messages."""
        return self._queue(name).entries()

    def dead(self, name: str) -> list[Entry]:
        """What is in its dead-letter queue."""
        return self._queue(name + DEAD_LETTERS).entries()

    def clear(self, name: str) -> None:
        """Empty a queue and its dead letters, and forget the ids it has seen."""
        self._queue(name).clear()

    def _queue(self, name: str) -> Queue:
        queue = self._broker.find(name)
        if queue is None:
            raise KeyError(name)
        return queue

    def _run(self) -> None:
        Container(self._server).run()

    def _on_listening(self, port: int) -> None:
        self.port = port
        self._listening.set()
