"""How much old audio the house lets wait on the queue."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.demo.station import Station
from shared.documents import Backfill
from shared.house import House
from shared.ingest.backfill import request_backfill
from shared.storage.ports import Message, QueueStats
from tests.clock import FakeClock
from tests.house import HEARD_UTC, open_test_house, publish
from tests.pipeline import EPOCHS


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house with room for one batch, asked for old audio of two."""
    with Station() as station:
        node = publish(station, 9)
        with open_test_house(tmp_path, node, now=FakeClock(HEARD_UTC), backfill_room=1) as house:
            start_utc = datetime.fromtimestamp(EPOCHS[0], UTC)
            job = Backfill(
                id="asked", hydrophone_id=node.name, start_utc=start_utc, end_utc=HEARD_UTC, reason="requested"
            )
            request_backfill(house.storage.documents, job)
            house.backfill()  # the request becomes stretches
            yield house


def sent(house: House) -> int:
    """How many batches the next step puts on the queue."""
    return sum(report.sent for report in house.backfill())


def test_a_batch_that_waits_or_is_at_work_takes_room(house: House) -> None:
    """Old audio waits until the batch before it is scored."""
    queue = house.storage.batches
    queue.send([Message("live", "{}")])
    assert sent(house) == 0
    delivery = queue.receive()
    assert delivery is not None
    assert sent(house) == 0
    queue.complete(delivery)
    assert sent(house) == 1
    assert sent(house) == 0


def test_what_was_given_back_takes_no_room(house: House) -> None:
    """A hydrophone whose batches fail again and again, waiting, due or at work, keeps no old audio from the queue."""
    queue = house.storage.batches
    queue.send([Message(name, "{}") for name in ("fails", "fails too", "fails as well")])
    for delay_s in (0, 0, 600):
        delivery = queue.receive()
        assert delivery is not None
        queue.abandon(delivery, reason="no answer", delay_s=delay_s)
    again = queue.receive()
    assert again is not None
    assert again.delivery_count == 2
    assert sent(house) == 1
    assert sent(house) == 0


def test_what_nobody_counted_may_take_the_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind retries that were counted only in part any number of live batches may stand: then nothing is added."""
    whole = False

    def stats(*, at_most: int) -> QueueStats:
        return QueueStats(at_most, 0, 60.0, retries=at_most, complete=whole)

    monkeypatch.setattr(house.storage.batches, "stats", stats)
    assert sent(house) == 0
    whole = True
    assert sent(house) == 1


def test_dead_letters_take_no_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many dead letters nobody counted to their end, the waiting batches were, and there is room."""
    monkeypatch.setattr(house.storage.batches, "stats", lambda *, at_most: QueueStats(0, at_most, 0.0, complete=False))
    assert sent(house) == 1
