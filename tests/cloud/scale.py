"""How the first stage bears many hydrophones: the real adapters on the emulators, driven through simulated time.

python -m tests.cloud.scale --hydrophones 200 --minutes 60
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time

from azure.cosmos import CosmosClient
from azure.servicebus import ServiceBusClient, ServiceBusReceiver

from shared.demo.station import Station
from shared.documents import CONTAINERS, SegmentBatch
from shared.http import Http, HttpLimits
from shared.ingest.batches import Rules
from shared.ingest.enqueue import Backoff, enqueue_new_batches
from shared.ingest.hls import HttpStreams, Streams
from shared.storage.azure.cosmos import CLIENT_OPTIONS, CosmosDocuments, transport
from shared.storage.azure.indexing import ensure_containers
from shared.storage.azure.servicebus import ServiceBusQueue
from tests.clock import FakeClock
from tests.cloud.sea import START_UTC, Sea
from tests.emulators.account import DATABASE, QUEUE, QUEUE_SETTINGS
from tests.emulators.cosmos import CosmosEmulator
from tests.emulators.servicebus import ServiceBusEmulator

TICK_S = 20.0


@dataclass(frozen=True)
class Tick:
    """What one tick of the timer took and brought.

    Attributes:
        states: how many hydrophones were in which state.
        batches: how many were sent.
        gaps: how many were found.
        taken_s: by the clock.
        cpu_s: of the processor, emulators included.
        requests: made to Cosmos DB.
        charge: of Cosmos DB, in request units.
    """

    states: Counter[str]
    batches: int
    gaps: int
    taken_s: float
    cpu_s: float
    requests: int
    charge: float

    @property
    def polls(self) -> int:
        """How many hydrophones were asked."""
        return self.states.total() - self.states["postponed"]


@dataclass
class Run:
    """Hydrophones, the stage and what it stands on, and what came of it so far."""

    sea: Sea
    streams: Streams
    documents: CosmosDocuments
    queue: ServiceBusQueue
    clock: FakeClock
    cosmos: CosmosEmulator
    service_bus: ServiceBusEmulator
    receiver: ServiceBusReceiver
    station: Station | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=TICK_S))
    ticks: list[Tick] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    sent: Counter[tuple[str, int, int]] = field(default_factory=Counter)

    def tick(self) -> Tick:
        """Let 20 s pass, poll every hydrophone once, then take what came off the queue."""
        self.clock.advance(TICK_S)
        if self.station:
            self.sea.publish(self.station)
        self.cosmos.requests.clear()
        charge, began, cpu = self.cosmos.charge, perf_counter(), process_time()
        reports = enqueue_new_batches(
            self.sea.hydrophones,
            streams=self.streams,
            documents=self.documents,
            queue=self.queue,
            rules=Rules(),
            now=self.clock,
            backoff=self.backoff,
        )
        taken_s, cpu_s = perf_counter() - began, process_time() - cpu
        tick = Tick(
            states=Counter(one.state for one in reports),
            batches=sum(len(one.batches) for one in reports),
            gaps=sum(len(one.gaps) for one in reports),
            taken_s=taken_s,
            cpu_s=cpu_s,
            requests=len(self.cosmos.requests),
            charge=self.cosmos.charge - charge,
        )
        self.ticks.append(tick)
        self._take()
        return tick

    def check(self) -> None:
        """Raise AssertionError unless what is due by now was sent, all of it and once, and nothing else was."""
        now_s = self.sea.now_s
        living = self.sea.living()
        due = {(name, *segment) for name, node in living.items() for segment in node.due(now_s)}
        published = {(name, *segment) for name, node in living.items() for segment in node.published(now_s)}
        assert max(self.sent.values()) == 1, "a segment was sent twice"
        assert len(self.received) == len(set(self.received)), "a batch was on the queue twice"
        assert not due - self.sent.keys(), "what was due was not sent"
        assert not self.sent.keys() - published, "what nobody published was sent"

    def _take(self) -> None:
        """Empty the queue, as scoring would."""
        while waiting := len(self.service_bus.active(QUEUE)):
            for message in self.receiver.receive_messages(waiting, max_wait_time=5):
                batch = SegmentBatch.parse(b"".join(message.body), source=message.message_id or "")
                self.received.append(message.message_id or "")
                self.sent.update((batch.hydrophone_id, batch.epoch, segment.index) for segment in batch.segments)
                self.receiver.complete_message(message)


def resident_mb() -> float:
    """Memory this process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


@contextmanager
def scale(hydrophones: int, *, minutes: float, http: bool = False) -> Iterator[Run]:
    """So many simulated hydrophones, for so long, and Haro's first stage on emulators of its own.

    With `http` their streams are fetched from a server on loopback, else made in this process without any network.
    """
    clock = FakeClock(START_UTC)
    with ExitStack() as stack:
        sea = Sea(hydrophones, length_s=minutes * 60.0, now=clock)
        cosmos = stack.enter_context(CosmosEmulator())
        service_bus = stack.enter_context(ServiceBusEmulator({QUEUE: QUEUE_SETTINGS}))
        client = stack.enter_context(CosmosClient(cosmos.endpoint, cosmos.key, transport=transport(), **CLIENT_OPTIONS))
        database = client.create_database(DATABASE)
        ensure_containers(database, CONTAINERS)
        bus = stack.enter_context(ServiceBusClient.from_connection_string(service_bus.connection_string))
        queue = ServiceBusQueue(bus, QUEUE, max_deliveries=QUEUE_SETTINGS.max_deliveries)
        stack.callback(queue.close)
        receiver = stack.enter_context(bus.get_queue_receiver(QUEUE))
        run = Run(sea, sea, CosmosDocuments(lambda: database, CONTAINERS), queue, clock, cosmos, service_bus, receiver)
        if http:
            run.station = stack.enter_context(Station())
            run.streams = HttpStreams(stack.enter_context(closing(Http(HttpLimits(attempts=1)))))
            sea.move_to(run.station)
        yield run


def report(run: Run) -> str:
    """The figures of a run, one to a line."""
    ticks, polls = run.ticks, sum(tick.polls for tick in run.ticks)
    batches = sum(tick.batches for tick in ticks)
    taken_s = [tick.taken_s for tick in ticks]
    hours = len(run.sea.living()) * len(ticks) * TICK_S / 3600
    figures = {
        "hydrophones": f"{len(run.sea.nodes)}, of which {len(run.sea.living())} live",
        "ticks": f"{len(ticks)}, one every {TICK_S:.0f} s",
        "a tick takes": f"{statistics.mean(taken_s):.2f} s on average, {max(taken_s):.2f} s at most",
        "polls": f"{polls}, {polls / sum(taken_s):.0f}/s",
        "batches sent": f"{batches}, {batches / sum(taken_s):.0f}/s",
        "CPU per poll": f"{sum(tick.cpu_s for tick in ticks) / polls * 1000:.1f} ms, emulators included",
        "Cosmos requests per poll": f"{sum(tick.requests for tick in ticks) / polls:.2f}",
        "RU per hydrophone-hour": f"{sum(tick.charge for tick in ticks) / hours:.0f}",
        "busiest tick, RU/s over 20 s": f"{max(tick.charge for tick in ticks) / TICK_S:.0f}",
    }
    if run.station:
        statuses = Counter(request.status for request in run.station.requests)
        figures["HTTP answers"] = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
    return "\n".join(f"{name:30} {figure}" for name, figure in figures.items())


def main() -> None:
    """Drive a run from the command line and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hydrophones", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--http", action="store_true", help="fetch the streams from a server on loopback")
    chosen = parser.parse_args()
    with scale(chosen.hydrophones, minutes=chosen.minutes, http=chosen.http) as run:
        resident = [resident_mb()]
        for number in range(int(chosen.minutes * 60 / TICK_S)):
            run.tick()
            if number == 0 or number % 30 == 29:
                resident.append(resident_mb())
        run.check()
        memory = ", ".join(f"{mb:.0f}" for mb in resident)
        print(f"{report(run)}\n{'resident memory, MB':30} {memory} (emulators and all they hold included)")  # noqa: T201 - a command


if __name__ == "__main__":
    main()
