"""What every message queue must do: send, deliver, know duplicates, count. Settlement has a suite of its own."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.errors import StorageError
from shared.storage.ports import MAX_MESSAGE_BYTES, Message
from tests.contract.harness import QueueHarness
from tests.contract.queues import drained, ids, messages, received


def test_delivers_what_was_sent(harness: QueueHarness) -> None:
    """A message arrives whole, whatever text it holds, with its first delivery counted and a lock ahead of it."""
    body = json.dumps({"hydrophone": "Xwísen", "emoji": "🐋", "nul": "\0", "long": "x" * 50_000}, ensure_ascii=False)
    harness.queue.send([Message("rpi_bush_point/1773990017/5614-5619", body)])
    delivery = received(harness.queue)
    assert delivery.message == Message("rpi_bush_point/1773990017/5614-5619", body)
    assert delivery.delivery_count == 1
    assert delivery.enqueued_utc.utcoffset() == timedelta(0)
    lock = delivery.locked_until_utc - delivery.enqueued_utc
    assert abs(lock.total_seconds() - harness.lock_s) <= harness.clock_tolerance_s


def test_an_empty_queue_gives_none(harness: QueueHarness) -> None:
    """Receiving from an empty queue returns None at once, before and after it held something."""
    assert harness.queue.receive() is None
    harness.queue.send([])
    assert harness.queue.receive() is None
    harness.queue.send(messages("a"))
    drained(harness.queue)
    assert harness.queue.receive() is None


def test_first_in_first_out(harness: QueueHarness) -> None:
    """Messages come in the order they were sent in, within one send and over several."""
    harness.queue.send(messages("c", "a", "b"))
    harness.queue.send(messages("0"))
    assert ids(drained(harness.queue)) == ["c", "a", "b", "0"]


def test_send_is_all_or_none(harness: QueueHarness) -> None:
    """One message that is not allowed keeps the whole send away, and the others may be sent again."""
    too_large = Message("large", "x" * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(StorageError, match="large"):
        harness.queue.send([*messages("a"), too_large])
    assert harness.queue.receive() is None
    harness.queue.send(messages("a"))
    assert ids(drained(harness.queue)) == ["a"]


@pytest.mark.parametrize("message", [Message("", "{}"), Message("x" * 129, "{}"), Message("lone", '"\ud800"')])
def test_messages_that_are_not_allowed(harness: QueueHarness, message: Message) -> None:
    """An empty or overlong id, or text that UTF-8 cannot carry, is refused."""
    with pytest.raises(StorageError):
        harness.queue.send([message])


def test_duplicates_are_dropped(harness: QueueHarness) -> None:
    """A second message of an id is dropped silently: in one send, later, with another body, and after completion."""
    harness.queue.send([*messages("a"), *messages("a")])
    harness.queue.send([Message("a", "other body"), *messages("b")])
    deliveries = drained(harness.queue)
    assert [delivery.message for delivery in deliveries] == messages("a", "b")
    harness.queue.send(messages("a"))
    assert harness.queue.receive() is None


def test_a_dead_letter_is_remembered_too(harness: QueueHarness) -> None:
    """Sending again what lies dead, within the window, changes nothing."""
    harness.queue.send(messages("a"))
    harness.queue.dead_letter(received(harness.queue), reason="broken")
    harness.queue.send(messages("a"))
    assert harness.queue.receive() is None
    assert len(harness.queue.dead_letters()) == 1


def test_ids_are_forgotten_after_the_window(harness: QueueHarness) -> None:
    """The window counts from the first send; after it the id is new again."""
    harness.queue.send(messages("a"))
    drained(harness.queue)
    harness.advance(harness.duplicate_window_s * 0.6)
    harness.queue.send(messages("a"))
    assert harness.queue.receive() is None
    harness.advance(harness.duplicate_window_s * 0.6)
    harness.queue.send(messages("a"))
    assert ids(drained(harness.queue)) == ["a"]


def test_competing_consumers_share_the_work(harness: QueueHarness) -> None:
    """Two consumers at once get every message, and none of them twice."""
    sent = [f"m{index:03}" for index in range(60)]
    harness.queue.send(messages(*sent))
    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(lambda _: ids(drained(harness.queue)), range(2)))
    assert sorted(shares[0] + shares[1]) == sent
    assert harness.queue.stats().active == 0


def test_senders_at_once_make_no_duplicates(harness: QueueHarness) -> None:
    """Two senders of the same messages put each on the queue once."""
    batches = [messages(*(f"m{index}" for index in range(start, start + 5))) for start in range(20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(harness.queue.send, [*batches, *batches]))
    assert sorted(ids(drained(harness.queue))) == sorted(f"m{index}" for index in range(24))


def test_stats(harness: QueueHarness) -> None:
    """Waiting, delayed and locked messages are active; the age is that of the oldest of them all."""
    stats = harness.queue.stats()
    assert (stats.active, stats.dead, stats.oldest_age_s) == (0, 0, 0.0)
    harness.queue.send(messages("dead", "delayed"))
    harness.queue.dead_letter(received(harness.queue), reason="broken")
    harness.advance(2)
    harness.queue.send(messages("waiting"))
    harness.advance(1)
    harness.queue.abandon(received(harness.queue), reason="busy", delay_s=harness.lock_s)
    stats = harness.queue.stats()
    assert (stats.active, stats.dead) == (2, 1)
    assert abs(stats.oldest_age_s - 3) <= harness.clock_tolerance_s
    locked = received(harness.queue)
    assert harness.queue.stats().active == 2
    harness.queue.complete(locked)
    assert harness.queue.stats().active == 1
    harness.advance(harness.lock_s)
    received(harness.queue)
    stats = harness.queue.stats()
    assert stats.active == 1
    assert abs(stats.oldest_age_s - 3 - harness.lock_s) <= harness.clock_tolerance_s, "what is at work has its age, too"


def test_stats_tell_retries(harness: QueueHarness) -> None:
    """What was given back, or whose lock ended, counts as a retry until it is settled; a first try never does."""
    harness.queue.send(messages("delayed", "interrupted"))
    harness.queue.abandon(received(harness.queue), reason="busy", delay_s=harness.lock_s * 3)
    received(harness.queue)
    assert (harness.queue.stats().active, harness.queue.stats().retries) == (2, 1)
    harness.advance(harness.lock_s * 1.1)
    harness.queue.send(messages("new"))
    assert (harness.queue.stats().active, harness.queue.stats().retries) == (3, 2)
    locked = [received(harness.queue) for _ in range(2)]
    assert sorted(ids(locked)) == ["interrupted", "new"]
    assert (harness.queue.stats().active, harness.queue.stats().retries) == (3, 2)
    for delivery in locked:
        harness.queue.complete(delivery)
    assert (harness.queue.stats().active, harness.queue.stats().retries) == (1, 1)


def test_stats_of_a_part(harness: QueueHarness) -> None:
    """What fits is counted whole; beyond, counting may end at so many active and dead ones each, and that is said."""
    harness.queue.send(messages("dead", "dead too", "a", "b"))
    for _ in range(2):
        harness.queue.dead_letter(received(harness.queue), reason="broken")
    whole = harness.queue.stats()
    assert (whole.active, whole.dead, whole.complete) == (2, 2, True)
    exactly = harness.queue.stats(at_most=2)
    assert (exactly.active, exactly.dead, exactly.complete) == (2, 2, True)
    part = harness.queue.stats(at_most=1)
    assert (part.active, part.dead, part.complete) in {(1, 1, False), (2, 2, True)}


@pytest.mark.parametrize(("active", "dead"), [(3, 0), (0, 3)])
def test_stats_say_when_either_is_not_counted_whole(harness: QueueHarness, active: int, dead: int) -> None:
    """Uncounted dead letters make the count a part as uncounted active messages do; never is a part called whole."""
    harness.queue.send(messages(*(f"m{index}" for index in range(active + dead))))
    for _ in range(dead):
        harness.queue.dead_letter(received(harness.queue), reason="broken")
    stats = harness.queue.stats(at_most=2)
    assert stats.complete == ((stats.active, stats.dead) == (active, dead))
    assert stats.active >= min(active, 2)
    assert stats.dead >= min(dead, 2)
