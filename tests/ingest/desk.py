"""A node, a clock and real local storage, polled as the app polls."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.documents import BACKFILLS, CONTAINERS, CURSORS, GAPS, Cursor, Gap, SegmentBatch
from shared.ingest.backfill import enqueue_backfills
from shared.ingest.batches import Rules
from shared.ingest.enqueue import Backoff, PollReport, enqueue_new_batches
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from tests.ingest.sea import HYDROPHONE, Clock, FakeNode

RULES = Rules(stall_s=120.0, far_behind_s=600.0, first_contact_s=3600.0, give_up_s=300.0)


@dataclass
class Desk:
    """A node, a clock and real local storage, polled as the app polls."""

    node: FakeNode
    clock: Clock
    queue: SqliteQueue
    documents: SqliteDocuments
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.0))
    received: list[SegmentBatch] = field(default_factory=list)

    def poll(self) -> PollReport:
        """One tick: live first, then backfills; everything on the queue is taken off it."""
        (report,) = enqueue_new_batches(
            [HYDROPHONE],
            streams=self.node,
            documents=self.documents,
            queue=self.queue,
            rules=RULES,
            now=self.clock,
            backoff=self.backoff,
        )
        self.take()
        return report

    def poll_twice(self) -> None:
        """Two ticks: a folder that the node has left is left once two polls saw the same end of it."""
        self.poll()
        self.poll()

    def pump(self, room: int = 4) -> int:
        """One step of every backfill; returns how many batches it sent."""
        reports = enqueue_backfills(
            {HYDROPHONE.id: HYDROPHONE},
            streams=self.node,
            documents=self.documents,
            queue=self.queue,
            room=room,
            now=self.clock,
        )
        self.take()
        return sum(report.sent for report in reports)

    def take(self) -> None:
        """Empty the queue."""
        while delivery := self.queue.receive():
            self.received.append(SegmentBatch.parse(delivery.message.body, source="queue"))
            self.queue.complete(delivery)

    def drain(self) -> None:
        """Poll and pump until nothing more comes."""
        quiet = 0
        for _ in range(400):
            before = len(self.received)
            self.poll()
            self.pump()
            self.clock.advance(RULES.stall_s + 1.0)
            quiet = quiet + 1 if len(self.received) == before and not self.open_backfills() else 0
            if quiet == 3:
                return
        raise AssertionError("the stream never comes to rest")

    def open_backfills(self) -> int:
        """How many backfills are not done."""
        return len(self.documents.query(BACKFILLS, where={"state": "open"}))

    @property
    def gaps(self) -> list[Gap]:
        """Every gap on record, in order of time."""
        return [Gap.model_validate(s.body) for s in self.documents.query(GAPS, order_by="start_utc")]

    @property
    def indices(self) -> list[tuple[int, int]]:
        """(epoch, index) of every segment received, in order of arrival."""
        return [(batch.epoch, segment.index) for batch in self.received for segment in batch.segments]

    def told(self) -> set[tuple[int, int]]:
        """(epoch, index) of every segment named by a gap."""
        return {
            (gap.epoch, index)
            for gap in self.gaps
            if gap.first_index is not None and gap.last_index is not None
            for index in range(gap.first_index, gap.last_index + 1)
        }

    def cursor(self) -> Cursor:
        """The stored cursor."""
        stored = self.documents.get(CURSORS, HYDROPHONE.id, HYDROPHONE.id)
        assert stored is not None
        return Cursor.model_validate(stored.body)


@contextmanager
def open_desk() -> Iterator[Desk]:
    """A desk with storage of its own."""
    clock = Clock()
    with TemporaryDirectory() as folder, Database(Path(folder) / "haro.sqlite") as database:
        week_s = 7 * 86_400.0
        queue = SqliteQueue(database, "batches", lock_s=60.0, max_deliveries=5, duplicate_window_s=week_s, now=clock)
        yield Desk(FakeNode(), clock, queue, SqliteDocuments(database, CONTAINERS, now=clock))
