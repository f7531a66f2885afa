"""The timer that sends batches, feeds backfills and tells people what was held back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from azure.functions.timer import TimerRequest

from shared.demo.station import Station
from shared.documents import BACKFILLS, Backfill, result_blob_name
from shared.house import House
from tests.clock import FakeClock
from tests.functions.host import BATCH, received, result_blob
from tests.house import HEARD_UTC, publish
from tests.pipeline import EPOCHS
from tests.recording.fakes import make_result
from tests.recording.servers import HttpServer


def test_the_timer_sends_new_batches(
    trigger: Callable[[str, object], None], station: Station, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """One tick puts the published audio on the queue, a second tick nothing more; a silent stream is said."""
    publish(station, 6)

    trigger("enqueue", TimerRequest(past_due=False))
    trigger("enqueue", TimerRequest(past_due=True))

    assert house.storage.batches.stats().active == 1
    assert received(house).message.id == BATCH
    assert any(record.getMessage().startswith("silent_node: unreachable.") for record in caplog.records)


def test_the_timer_feeds_backfills(trigger: Callable[[str, object], None], station: Station, house: House) -> None:
    """Old audio that somebody asked for comes on the queue by the same ticks, and the request ends as done."""
    publish(station, 6)
    start_utc = datetime.fromtimestamp(EPOCHS[0], UTC)
    asked = Backfill(id="asked", hydrophone_id="test_node", start_utc=start_utc, end_utc=HEARD_UTC, reason="requested")
    house.storage.documents.create(BACKFILLS, asked.to_json())

    for _ in range(4):
        trigger("enqueue", TimerRequest())
        house.now.advance(20)  # type: ignore[attr-defined]  # a FakeClock

    jobs = [stored.body for stored in house.storage.documents.query(BACKFILLS)]
    assert {job["state"] for job in jobs} == {"done"}
    assert sum(job["batches_sent"] for job in jobs) == 1
    assert house.storage.batches.stats().active == 1, "the live batch of the same audio is the same message"


def test_the_timer_tells_what_was_held_back(
    trigger: Callable[[str, object], None], house: House, people: HttpServer
) -> None:
    """A bout's second detection, held back when it was recorded, is told by a later tick without a new result."""
    clock = house.now
    assert isinstance(clock, FakeClock)
    for minute in (3, 2):
        result = make_result(HEARD_UTC - timedelta(minutes=minute), hydrophone_id="test_node")
        name = result_blob_name(result.batch_id)
        house.storage.blobs.put(name, result.model_dump_json().encode())
        trigger("record", result_blob(name))
    assert len(people.requests) == 1

    trigger("enqueue", TimerRequest())
    assert len(people.requests) == 1
    clock.advance(house.settings.bout_update_s)
    trigger("enqueue", TimerRequest())
    assert len(people.requests) == 2
    assert result.detection_id in people.requests[1][2]["message"]
