"""What becomes of one delivered message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.deliveries import SetAside, handle
from shared.errors import MessageError, StreamUnreachable
from shared.storage.local.database import Database
from shared.storage.local.queue import SqliteQueue
from shared.storage.ports import Delivery, Message
from tests.clock import FakeClock

TIMES = 3


@pytest.fixture
def clock() -> FakeClock:
    """The time."""
    return FakeClock()


@pytest.fixture
def queue(tmp_path: Path, clock: FakeClock) -> Iterator[SqliteQueue]:
    """A queue with one message."""
    with Database(tmp_path / "haro.sqlite") as database:
        queue = SqliteQueue(database, "q", lock_s=60, max_deliveries=TIMES, duplicate_window_s=60, now=clock)
        queue.send([Message("a", "{}")])
        yield queue


def handled(queue: SqliteQueue, error: Exception | None) -> SetAside | None:
    """Take the next message through work that ends so."""

    def work(_: Delivery) -> None:
        if error is not None:
            raise error

    delivery = queue.receive()
    assert delivery is not None, "the message is due"
    return handle(delivery, work, settle=queue, max_deliveries=TIMES)


def test_work_done_is_struck_off(queue: SqliteQueue) -> None:
    """A message whose work ends well is gone."""
    assert handled(queue, None) is None
    assert queue.stats().active == 0


def test_what_nobody_can_read_is_set_aside_at_once(queue: SqliteQueue) -> None:
    """It goes to the dead letters with its reason, without another try."""
    assert handled(queue, MessageError("no batch")) == SetAside("a", "no batch")
    assert [letter.reason for letter in queue.dead_letters()] == ["no batch"]


def test_what_fails_comes_later_and_later_then_is_set_aside(queue: SqliteQueue, clock: FakeClock) -> None:
    """5 s, 10 s, and after the last delivery it is dead with the last reason."""
    for wait_s in (5.0, 10.0):
        assert handled(queue, StreamUnreachable("no answer")) is None
        clock.advance(wait_s - 0.5)
        assert queue.receive() is None
        clock.advance(0.5)

    assert handled(queue, StreamUnreachable("still no answer")) == SetAside("a", "still no answer")
    assert [letter.reason for letter in queue.dead_letters()] == ["still no answer"]


def test_a_bug_is_told_with_its_traceback(queue: SqliteQueue, caplog: pytest.LogCaptureFixture) -> None:
    """An error nobody foresaw is logged whole, and the message comes again."""
    assert handled(queue, ZeroDivisionError("nobody thought of this")) is None
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "met with message a" in record.getMessage()
    assert queue.stats().active == 1


def test_a_lock_lost_meanwhile_is_somebody_elses(
    queue: SqliteQueue, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Work that took longer than its lock settles nothing: the next delivery does."""

    def slow(_: Delivery) -> None:
        clock.advance(61)

    delivery = queue.receive()
    assert delivery is not None
    assert handle(delivery, slow, settle=queue, max_deliveries=TIMES) is None
    assert "took longer than its lock" in caplog.text
    assert queue.stats().active == 1
