"""A Service Bus on loopback, for tests: queues with peek-lock, dead letters, scheduling, duplicate detection, faults.

The unmodified SDK talks to it; `tests/emulators/test_servicebus.py` says what it does as Service Bus does.
"""

from tests.emulators.servicebus.broker import Entry, QueueSettings
from tests.emulators.servicebus.emulator import ServiceBusEmulator
from tests.emulators.servicebus.faults import Effect, Step

__all__ = ["Effect", "Entry", "QueueSettings", "ServiceBusEmulator", "Step"]
