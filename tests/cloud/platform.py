"""What Azure does around the app: timers tick, messages and blobs are handed over, and settled by how it went."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic, sleep

from azure.servicebus import ServiceBusClient, ServiceBusReceivedMessage, ServiceBusReceiver
from azure.servicebus.exceptions import MessageLockLostError
from azure.storage.blob import BlobServiceClient, ContainerClient

from shared.storage.azure import blobs
from tests.emulators.account import QUEUE, QUEUE_SETTINGS
from tests.emulators.servicebus import ServiceBusEmulator
from tests.engine.host import FunctionHost, Outcome, WorkerError

_BLOB_TRIES = 5  # host.json, extensions.blobs.poisonBlobThreshold
_WAIT_S = 60.0  # for what is there already; a busy machine may take its time
_REST_S = 1.5  # longer than HARO_STALL_S, after which the end of a stream is sent


class SkippingClock:
    """The real time, from which it can be moved ahead."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        """The time."""
        return datetime.now(UTC) + self._ahead

    def advance(self, seconds: float) -> None:
        """Move ahead."""
        self._ahead += timedelta(seconds=seconds)


@dataclass
class Platform:
    """The .NET host and the triggers' services, as far as the app can tell.

    Attributes:
        host: the app.
        service_bus: whose queue it listens to.
        clock: the queue's time.
        failures: every invocation that failed, as it was told.
        deaths: how often the worker died and was started anew.
        lose: messages to settle without calling the app, as Azure's Flex plan has done; counted down.
    """

    host: FunctionHost
    service_bus: ServiceBusEmulator
    clock: SkippingClock
    receiver: ServiceBusReceiver
    results: ContainerClient
    failures: list[str] = field(default_factory=list)
    deaths: int = 0
    lose: int = 0
    _seen: dict[str, str] = field(default_factory=dict)
    _tries: dict[str, int] = field(default_factory=dict)

    def run_until_idle(self, *, rounds_at_rest: int = 3) -> None:
        """Tick, and hand over all there is, until several rounds in a row, some time apart, brought nothing."""
        at_rest, since = 0, monotonic()
        while at_rest < rounds_at_rest or monotonic() - since < _REST_S:
            ticked = self.tick("enqueue")
            worked = self.serve_all()
            waiting = self.service_bus.active(QUEUE)
            if waiting and not worked:
                self.clock.advance(QUEUE_SETTINGS.lock_s)  # a lock of a dead worker, or a retry scheduled for later
            if ticked and not worked and not waiting:
                at_rest += 1
                sleep(_REST_S / 10)
            else:
                at_rest, since = 0, monotonic()

    def serve_all(self) -> bool:
        """Hand over messages and blobs until there are none; returns whether there were any."""
        worked = False
        while self._serve_message() or self._serve_blob():
            worked = True
        return worked

    def tick(self, name: str) -> bool:
        """Let a timer tick; returns whether the function returned."""
        return self._call(name, lambda: self.host.invoke_timer(name))

    def _serve_message(self) -> bool:
        if not any(entry.is_due for entry in self.service_bus.active(QUEUE)):
            return False
        messages = self.receiver.receive_messages(max_message_count=1, max_wait_time=_WAIT_S)
        for message in messages:
            if self.lose:
                self.lose -= 1
                self._settle(message, done=True)
                continue
            deaths = self.deaths
            done = self._call("score", partial(self._invoke_score, message))
            if deaths == self.deaths:  # else the host died with it: the lock ends by itself
                self._settle(message, done=done)
        return bool(messages)

    def _settle(self, message: ServiceBusReceivedMessage, *, done: bool) -> None:
        """Complete or abandon it, and wait until the queue knows; with its lock lost it comes again by itself."""
        with suppress(MessageLockLostError):
            self.receiver.complete_message(message) if done else self.receiver.abandon_message(message)
        deadline = monotonic() + _WAIT_S
        while any(e.lock and e.lock.token == message.lock_token for e in self.service_bus.active(QUEUE)):
            assert monotonic() < deadline, "the queue did not hear of it"
            sleep(0.005)

    def _invoke_score(self, message: ServiceBusReceivedMessage) -> Outcome:
        properties = {
            key.decode() if isinstance(key, bytes) else key: value.decode() if isinstance(value, bytes) else value
            for key, value in (message.application_properties or {}).items()
        }
        return self.host.invoke_service_bus(
            "score",
            str(message),
            message_id=message.message_id or "",
            delivery_count=(message.delivery_count or 0) + 1,
            sequence_number=message.sequence_number or 0,
            enqueued_utc=message.enqueued_time_utc,
            lock_token=str(message.lock_token),
            application_properties=properties,
        )

    def _serve_blob(self) -> bool:
        """Hand over a result that is new, or that failed before, at most five times."""
        for blob in self.results.list_blobs():
            if self._seen.get(blob.name) == blob.etag or self._tries.get(blob.name, 0) >= _BLOB_TRIES:
                continue
            self._tries[blob.name] = self._tries.get(blob.name, 0) + 1
            if self._call("record", partial(self._invoke_record, blob.name)):
                self._seen[blob.name] = blob.etag
            return True
        return False

    def _invoke_record(self, blob_name: str) -> Outcome:
        client = self.results.get_blob_client(blob_name)
        metadata = client.get_blob_properties().metadata
        data = client.download_blob().readall()
        return self.host.invoke_blob("record", f"results/{blob_name}", data, uri=client.url, metadata=metadata)

    def _call(self, name: str, invoke: Callable[[], Outcome]) -> bool:
        try:
            outcome = invoke()
        except WorkerError:
            self.deaths += 1
            self.failures.append(f"{name}: the worker died")
            self.host.start()
            return False
        if not outcome.ok:
            self.failures.append(f"{name}: {outcome.error}")
        return outcome.ok


@contextmanager
def platform(
    host: FunctionHost, service_bus: ServiceBusEmulator, clock: SkippingClock, storage: str
) -> Iterator[Platform]:
    """A platform around a started app, whose blobs are in the storage of that connection string."""
    with (
        ServiceBusClient.from_connection_string(service_bus.connection_string) as client,
        client.get_queue_receiver(QUEUE) as receiver,
        BlobServiceClient.from_connection_string(storage, **blobs.CLIENT_OPTIONS) as service,
    ):
        yield Platform(host, service_bus, clock, receiver, service.get_container_client("results"))
