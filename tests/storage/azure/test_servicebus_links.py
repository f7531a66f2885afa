"""The Service Bus queue's links: broken, refused, busy, closed, and made anew."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")

from azure.servicebus import ServiceBusClient

from shared.errors import StorageError
from shared.storage.azure.servicebus import ServiceBusQueue
from tests.clock import FakeClock
from tests.contract.azure_queue import NAME, AzureQueue
from tests.emulators.servicebus import Effect, ServiceBusEmulator, Step
from tests.storage.azure.service_bus import A, active_ids, received

# Dropped connections the SDK leaves to the garbage collector, which may come for them in a later test.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.mark.parametrize(
    "break_it",
    [
        lambda emulator: emulator.faults.add(Step.RECEIVE, Effect.DROP_BEFORE),
        lambda emulator: emulator.faults.add(Step.SETTLE, Effect.DROP_BEFORE),
    ],
)
def test_a_broken_connection_is_mended(bus: AzureQueue, break_it: Callable[[ServiceBusEmulator], None]) -> None:
    """A message is received though the connection broke, and settled over another connection than it came by."""
    bus.queue.send([A])
    break_it(bus.emulator)
    delivery = bus.queue.receive() or received(bus)  # the SDK may notice only after its waiting time, short here
    bus.queue.complete(delivery)
    assert active_ids(bus) == []
    assert bus.emulator.faults.pending() == []


def test_a_receiver_detached_as_busy_is_made_anew(bus: AzureQueue) -> None:
    """Receiving tells that Service Bus is busy, rests, and then works: the SDK would stay broken."""
    bus.queue.send([A])
    bus.emulator.faults.add(Step.RECEIVE, Effect.BUSY)
    with pytest.raises(StorageError, match="try again later"):
        bus.queue.receive()
    bus.clock.advance(9.9)
    with pytest.raises(StorageError, match=r"a moment ago \(ServiceBusServerBusyError\); try again in 10 s"):
        bus.queue.receive()
    bus.clock.advance(0.1)
    bus.queue.complete(received(bus))


@contextmanager
def a_service_that_hangs_up() -> Iterator[tuple[str, list[object]]]:
    """A connection string that leads to nobody, and who called there."""
    calls: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            while True:
                connection, caller = server.accept()
                with connection:
                    calls.append(caller)
                    if connection.recv(1) == b"q":
                        return

        thread = threading.Thread(target=hang_up)
        thread.start()
        address = server.getsockname()
        secret = f"SharedAccessKeyName=emulator;SharedAccessKey={ServiceBusEmulator.KEY}"
        try:
            yield f"Endpoint=sb://127.0.0.1:{address[1]};{secret};UseDevelopmentEmulator=true", calls
        finally:
            with socket.create_connection(address) as caller:
                caller.sendall(b"q")
            thread.join()


@pytest.mark.usefixtures("bus")  # which collects what the SDK leaves
def test_threads_that_wait_for_a_service_that_is_down_fail_together() -> None:
    """The SDK's tries are made once for all who wait, and again after a rest of 10 s; no text holds the key."""
    clock = FakeClock()
    with (
        a_service_that_hangs_up() as (connection_string, calls),
        ServiceBusClient.from_connection_string(
            connection_string, retry_total=2, retry_backoff_factor=0.05, retry_backoff_max=1
        ) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        queue = ServiceBusQueue(client, NAME, max_deliveries=3, now=clock)
        for call in (lambda: queue.send([A]), queue.receive, queue.dead_letters):
            calls.clear()
            failures = [future.exception() for future in [pool.submit(call) for _ in range(4)]]
            assert all(isinstance(failure, StorageError) for failure in failures)
            assert len(calls) == 3, "one try and two more"
            clock.advance(10)
            with pytest.raises(StorageError, match="answered ServiceBusConnectionError; try again later") as down:
                call()
            assert len(calls) == 6
            assert ServiceBusEmulator.KEY not in "".join(traceback.format_exception(down.value))
        queue.close()


def test_errors_say_what_to_do_and_no_secret(bus: AzureQueue) -> None:
    """A missing queue and a refused identity are told with the remedy; no text in the chain holds the key."""
    with ServiceBusClient.from_connection_string(bus.emulator.connection_string, retry_total=0) as client:
        missing = ServiceBusQueue(client, "another", max_deliveries=3)
        with pytest.raises(StorageError, match="no such queue") as not_there:
            missing.send([A])
        refused = ServiceBusQueue(client, NAME, max_deliveries=3)
        bus.emulator.faults.add(Step.ATTACH, Effect.UNAUTHORISED)
        with pytest.raises(StorageError, match="Data Receiver and Data Sender") as no_right:
            refused.receive()
        missing.close()
        refused.close()
    for told in (not_there, no_right):
        assert ServiceBusEmulator.KEY not in "".join(traceback.format_exception(told.value))


def test_closing_leaves_the_client_open(bus: AzureQueue) -> None:
    """A closed queue opens its links anew when it is used again."""
    bus.queue.close()
    bus.queue.send([A])
    bus.queue.complete(received(bus))
