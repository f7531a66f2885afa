"""What the local queue does beyond the contract."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.errors import ConflictError
from shared.storage.local.database import Database
from shared.storage.local.queue import SqliteQueue
from shared.storage.ports import Delivery, Message
from tests.clock import FakeClock

A = Message("a", "{}")


@pytest.fixture
def clock() -> FakeClock:
    """A clock of the test's own."""
    return FakeClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A new database."""
    with Database(tmp_path / "haro.sqlite") as database:
        yield database


def _queue(database: Database, clock: FakeClock, name: str = "work") -> SqliteQueue:
    return SqliteQueue(database, name, lock_s=60, max_deliveries=3, duplicate_window_s=600, now=clock)


def _received(queue: SqliteQueue) -> Delivery:
    delivery = queue.receive()
    assert delivery is not None
    return delivery


def test_everything_survives_reopening(tmp_path: Path, clock: FakeClock) -> None:
    """Messages, their deliveries, locks, dead letters and remembered ids outlive the process."""
    with Database(tmp_path / "haro.sqlite") as database:
        queue = _queue(database, clock)
        queue.send([Message("dead", "{}"), Message("locked", "{}"), A])
        queue.dead_letter(_received(queue), reason="broken")
        _received(queue)
    with Database(tmp_path / "haro.sqlite") as database:
        queue = _queue(database, clock)
        queue.send([A])
        assert [letter.reason for letter in queue.dead_letters()] == ["broken"]
        assert _received(queue).message == A
        assert queue.receive() is None
        clock.advance(61)
        assert _received(queue).delivery_count == 2


def test_a_source_whose_messages_hang_holds_up_no_other(database: Database, clock: FakeClock) -> None:
    """Where every try of one source takes the only worker 25 s and fails, another's wait for three of them at most."""
    queue = SqliteQueue(database, "work", lock_s=300, max_deliveries=12, duplicate_window_s=600, now=clock)
    began, waits_s, tries = clock(), list[float](), list[int]()
    for minute in range(180):
        clock.now_utc = max(clock(), began + timedelta(minutes=minute))
        queue.send([Message(f"hangs/{minute}", "{}"), Message(f"well/{minute}", "{}")])
        while clock() < began + timedelta(minutes=minute + 1) and (delivery := queue.receive()):
            if delivery.message.id.startswith("well"):
                waits_s.append((clock() - began).total_seconds() - 60 * int(delivery.message.id.split("/")[1]))
                clock.advance(1)
                queue.complete(delivery)
            else:
                clock.advance(25)
                tries.append(delivery.delivery_count)
                queue.abandon(delivery, reason="no answer", delay_s=min(600, 5 * 2**delivery.delivery_count))
    assert len(waits_s) == 180
    assert max(waits_s) <= 3 * 25
    assert max(tries) > 1


def test_retries_have_a_tenth_of_the_turns_at_least(database: Database, clock: FakeClock) -> None:
    """While first tries never run out, every tenth turn is the retries', the one first that came due first."""
    queue = _queue(database, clock)
    queue.send([Message(f"retry {n}", "{}") for n in range(3)])
    for delivery in [_received(queue) for _ in range(3)]:
        queue.abandon(delivery, reason="busy", delay_s=5)
        clock.advance(1)
    clock.advance(10)
    retried: list[str] = []
    for n in range(30):
        queue.send([Message(f"new {n}", "{}")])
        delivery = _received(queue)
        retried += [delivery.message.id] * (delivery.delivery_count > 1)
        queue.complete(delivery)
        clock.advance(1)
    assert retried == ["retry 0", "retry 1", "retry 2"]


def test_a_retry_never_passes_what_was_sent_before_it_came_due(database: Database, clock: FakeClock) -> None:
    """Whichever turn it is."""
    queue = _queue(database, clock)
    for turn in range(10):
        queue.send([Message(f"retry {turn}", "{}")])
        queue.abandon(_received(queue), reason="busy", delay_s=5)
        queue.send([Message(f"new {turn}", "{}")])
        clock.advance(6)
        for expected in ("new", "retry"):
            delivery = _received(queue)
            assert delivery.message.id == f"{expected} {turn}"
            queue.complete(delivery)
        assert queue.receive() is None  # a turn too: the next round begins four later


def test_release_all_ends_locks_and_counts_nothing(database: Database, clock: FakeClock) -> None:
    """What was locked is due at once with just its interrupted delivery counted; its old lock is lost."""
    queue = _queue(database, clock)
    queue.send([A])
    held = _received(queue)
    assert queue.release_all() == 1
    assert queue.release_all() == 0
    with pytest.raises(ConflictError):
        queue.complete(held)
    assert _received(queue).delivery_count == 2


def test_release_all_leaves_the_rest_alone(database: Database, clock: FakeClock) -> None:
    """Delayed and waiting messages, dead letters and other queues stay as they are."""
    queue, other = _queue(database, clock), _queue(database, clock, "other")
    queue.send([A, Message("dead", "{}"), Message("waiting", "{}")])
    other.send([A])
    queue.abandon(_received(queue), reason="busy", delay_s=30)
    queue.dead_letter(_received(queue), reason="broken")
    held = _received(other)
    assert queue.release_all() == 0
    assert _received(queue).message.id == "waiting"
    assert queue.receive() is None
    assert len(queue.dead_letters()) == 1
    other.complete(held)


def test_a_message_that_kills_its_receiver_dies(database: Database, clock: FakeClock) -> None:
    """Interrupted `max_deliveries` times, a message is dead, and its reason names that and the last abandon."""
    queue = _queue(database, clock)
    queue.send([A])
    queue.abandon(_received(queue), reason="server down")
    for _ in range(2):
        _received(queue)
        queue.release_all()
    assert queue.stats().dead == 1
    assert queue.receive() is None
    (letter,) = queue.dead_letters()
    assert letter.reason.startswith("delivered 3 times and never settled")
    assert "server down" in letter.reason


def test_an_ended_lock_shows_without_a_receive(database: Database, clock: FakeClock) -> None:
    """Dead letters, stats and replay see a message that died of its last lock even if nobody asked for work since."""
    queue = _queue(database, clock)
    queue.send([A])
    for _ in range(3):
        _received(queue)
        clock.advance(60)
    assert queue.replay(["a"]) == 1
    assert _received(queue).delivery_count == 1


def test_the_lock_ends_on_its_second(database: Database, clock: FakeClock) -> None:
    """A lock holds until just before `locked_until_utc`, and is over at it."""
    queue = _queue(database, clock)
    queue.send([A])
    delivery = _received(queue)
    clock.advance(59.999999)
    assert queue.receive() is None
    clock.advance(0.000001)
    assert clock() == delivery.locked_until_utc
    assert _received(queue).delivery_count == 2


def test_old_ids_are_pruned(database: Database, clock: FakeClock) -> None:
    """Ids beyond the window are not kept for ever, and another queue's are left to it."""
    queue, other = _queue(database, clock), _queue(database, clock, "other")
    other.send([A])
    for n in range(50):
        queue.send([Message(f"m{n}", "{}")])
        clock.advance(60)
    assert database.rows("SELECT count(*) FROM sent_ids WHERE queue = 'work'")[0][0] == 10
    assert database.rows("SELECT count(*) FROM sent_ids WHERE queue = 'other'")[0][0] == 1


def test_queues_in_one_database_are_apart(database: Database, clock: FakeClock) -> None:
    """The same id may be on two queues, and each gives, counts and replays its own."""
    one, other = _queue(database, clock, "one"), _queue(database, clock, "other")
    one.send([A])
    other.send([A])
    one.dead_letter(_received(one), reason="broken")
    assert other.stats().dead == 0
    assert other.replay(["a"]) == 0
    assert other.dead_letters() == []
    other.complete(_received(other))
    assert one.stats().dead == 1
