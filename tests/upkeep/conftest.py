"""Real local storage, a clock set by hand, and batches to send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.documents import CONTAINERS, SENT, Segment, SegmentBatch, SentBatch, result_blob_name
from shared.ingest.outgoing import send_batches
from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from tests.clock import FakeClock

EPOCH = 1_773_990_017


def make_batch(first: int, hydrophone_id: str = "bush_point") -> SegmentBatch:
    """Six segments from `first` on."""
    start_utc = datetime.fromtimestamp(EPOCH + 2, UTC)
    segments = tuple(
        Segment(
            index=index,
            url=f"http://127.0.0.1/{index}.ts",
            start_utc=start_utc + timedelta(seconds=10 * index),
            duration_s=10,
        )
        for index in range(first, first + 6)
    )
    return SegmentBatch(
        hydrophone_id=hydrophone_id, epoch=EPOCH, segments=segments, offset_s=2.0, time_source="folder_epoch"
    )


@dataclass
class UpkeepDesk:
    """What upkeep works on."""

    clock: FakeClock
    queue: SqliteQueue
    documents: SqliteDocuments
    blobs: FolderBlobs

    def send(self, *batches: SegmentBatch) -> None:
        """Send batches as ingest does."""
        send_batches(batches, documents=self.documents, queue=self.queue, now=self.clock())

    def lose_message(self) -> None:
        """Settle the oldest message without scoring it, as Azure's Flex plan has done."""
        delivery = self.queue.receive()
        assert delivery is not None
        self.queue.complete(delivery)

    def kill_message(self, reason: str) -> None:
        """Set the oldest message aside."""
        delivery = self.queue.receive()
        assert delivery is not None
        self.queue.dead_letter(delivery, reason=reason)

    def score(self, batch: SegmentBatch) -> None:
        """Leave a result of the batch; what it says does not matter here."""
        self.blobs.put(result_blob_name(batch.id), b"{}")

    def waiting(self) -> list[str]:
        """The ids of all messages that are due, which are taken off the queue by asking."""
        ids = []
        while delivery := self.queue.receive():
            ids.append(delivery.message.id)
            self.queue.complete(delivery)
        return ids

    def sent(self, batch: SegmentBatch) -> SentBatch:
        """The account of a batch."""
        stored = self.documents.get(SENT, batch.hydrophone_id, batch.clip_id)
        assert stored is not None
        return SentBatch.model_validate(stored.body)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[UpkeepDesk]:
    """Empty storage."""
    clock = FakeClock()
    with Database(tmp_path / "haro.sqlite") as database:
        queue = SqliteQueue(
            database, "segment-batches", lock_s=60, max_deliveries=3, duplicate_window_s=86_400, now=clock
        )
        documents = SqliteDocuments(database, CONTAINERS, now=clock)
        yield UpkeepDesk(clock, queue, documents, FolderBlobs(tmp_path, min_free_bytes=0))
