"""The queue in Azure for the contract suite: a Service Bus queue on the emulator.

Opening and closing links takes the SDK seconds, so all tests share one queue, emptied for each. The emulator's clock
goes when it is told to, and never stands behind the real one, which the SDK asks whether a lock has ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from azure.servicebus import ServiceBusClient

from shared.storage.azure.servicebus import ServiceBusQueue
from shared.storage.ports import Delivery
from tests.clock import FakeClock
from tests.emulators.servicebus import QueueSettings, ServiceBusEmulator

NAME = "contract"


@dataclass(frozen=True)
class AzureQueue:
    """A Service Bus queue, the emulator it is on, and the time of both."""

    emulator: ServiceBusEmulator
    queue: ServiceBusQueue
    clock: FakeClock
    lock_s: float = 120.0
    max_deliveries: int = 3
    duplicate_window_s: float = 3600.0

    def empty(self) -> None:
        """Nothing on the queue, nothing remembered, and the clock not behind the real one."""
        self.emulator.faults.clear()
        self.emulator.clear(NAME)
        self.clock.now_utc = max(self.clock.now_utc, datetime.now(UTC))


class PatientQueue(ServiceBusQueue):
    """Waits for a message that is due for as long as a busy machine may take, and for none hardly at all."""

    def __init__(self, emulator: ServiceBusEmulator, client: ServiceBusClient, clock: FakeClock) -> None:
        super().__init__(client, NAME, max_deliveries=AzureQueue.max_deliveries, now=clock)
        self._emulator = emulator

    def receive(self) -> Delivery | None:
        """See `MessageQueue.receive`."""
        due = any(entry.is_due for entry in self._emulator.active(NAME))
        self._receive_wait_s = 30.0 if due else 0.05
        return super().receive()


@contextmanager
def azure_queue() -> Iterator[AzureQueue]:
    """An emulator with one queue, and the adapter on it."""
    clock = FakeClock(datetime.now(UTC))
    settings = QueueSettings(AzureQueue.lock_s, AzureQueue.max_deliveries, AzureQueue.duplicate_window_s)
    with (
        ServiceBusEmulator({NAME: settings}, clock=clock) as emulator,
        ServiceBusClient.from_connection_string(
            emulator.connection_string, retry_total=3, retry_backoff_factor=0.05, retry_backoff_max=1, try_timeout=2
        ) as client,
    ):
        queue = PatientQueue(emulator, client, clock)
        yield AzureQueue(emulator, queue, clock)
        queue.close()
