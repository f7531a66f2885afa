"""What every message queue must do with what was delivered: locks, retries, dead letters, replays."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import ConflictError
from tests.contract.harness import QueueHarness
from tests.contract.queues import drained, ids, messages, received


def test_a_locked_message_is_not_delivered_twice(harness: QueueHarness) -> None:
    """While its lock holds, nobody else gets the message."""
    harness.queue.send(messages("a"))
    delivery = received(harness.queue)
    assert harness.queue.receive() is None
    harness.advance(harness.lock_s * 0.4)
    assert harness.queue.receive() is None
    harness.queue.complete(delivery)


def test_a_lock_that_ends_gives_the_message_back(harness: QueueHarness) -> None:
    """An unsettled message is delivered again after its lock, counted, with another token, and the old lock is lost."""
    harness.queue.send(messages("a"))
    first = received(harness.queue)
    harness.advance(harness.lock_s * 1.1)
    second = received(harness.queue)
    assert second.message == first.message
    assert second.delivery_count == 2
    assert second.enqueued_utc == first.enqueued_utc
    assert second.lock_token != first.lock_token
    with pytest.raises(ConflictError):
        harness.queue.complete(first)
    with pytest.raises(ConflictError):
        harness.queue.abandon(first, reason="late")
    with pytest.raises(ConflictError):
        harness.queue.dead_letter(first, reason="late")
    harness.queue.complete(second)
    assert harness.queue.receive() is None


def test_a_lock_is_lost_when_its_time_is_over(harness: QueueHarness) -> None:
    """Settling after the lock ended fails even if nobody else has received the message yet; it is delivered again."""
    harness.queue.send(messages("a"))
    delivery = received(harness.queue)
    harness.advance(harness.lock_s * 1.1)
    with pytest.raises(ConflictError):
        harness.queue.complete(delivery)
    assert ids(drained(harness.queue)) == ["a"]


def test_a_delivery_is_settled_once(harness: QueueHarness) -> None:
    """After complete, abandon or dead_letter the same delivery cannot be settled again."""
    harness.queue.send(messages("completed", "abandoned", "buried"))
    completed, abandoned, buried = (received(harness.queue) for _ in range(3))
    harness.queue.complete(completed)
    harness.queue.abandon(abandoned, reason="busy")
    harness.queue.dead_letter(buried, reason="broken")
    for delivery in (completed, abandoned, buried):
        with pytest.raises(ConflictError):
            harness.queue.complete(delivery)
    assert ids(drained(harness.queue)) == ["abandoned"]


def test_abandon_gives_back_at_once(harness: QueueHarness) -> None:
    """A message abandoned without a delay is due at once, with its next delivery counted."""
    harness.queue.send(messages("a", "b"))
    harness.queue.abandon(received(harness.queue), reason="busy")
    counts = {delivery.message.id: delivery.delivery_count for delivery in drained(harness.queue)}
    assert counts == {"a": 2, "b": 1}


def test_abandon_with_a_delay(harness: QueueHarness) -> None:
    """A message abandoned with a delay lets others pass, and comes back after it, its deliveries still counted."""
    harness.queue.send(messages("a", "b"))
    harness.queue.abandon(received(harness.queue), reason="server down", delay_s=harness.lock_s * 2)
    assert harness.queue.stats().active == 2
    assert ids(drained(harness.queue)) == ["b"]
    harness.advance(harness.lock_s * 1.5)
    assert harness.queue.receive() is None
    harness.advance(harness.lock_s * 0.6)
    delivery = received(harness.queue)
    assert (delivery.message.id, delivery.delivery_count) == ("a", 2)
    harness.queue.complete(delivery)


def test_a_delayed_retry_stands_behind_what_was_sent_before_it_is_due(harness: QueueHarness) -> None:
    """What came while a retry waited goes first, and of several retries the one that is due first."""
    harness.queue.send(messages("slow", "slower", "first try"))
    slow, slower = received(harness.queue), received(harness.queue)
    harness.queue.abandon(slower, reason="server down", delay_s=20)
    harness.queue.abandon(slow, reason="server down", delay_s=10)
    harness.queue.send(messages("sent meanwhile"))
    harness.advance(21)
    assert ids(drained(harness.queue)) == ["first try", "sent meanwhile", "slow", "slower"]


def test_a_retry_comes_though_there_is_always_something_new(harness: QueueHarness) -> None:
    """With first deliveries that never run out, a retry that is due has its turn nevertheless."""
    harness.queue.send(messages("retry"))
    harness.queue.abandon(received(harness.queue), reason="server down", delay_s=5)
    harness.advance(6)
    counts: list[int] = []
    for index in range(40):
        harness.queue.send(messages(f"new {index}", f"newer {index}"))
        delivery = received(harness.queue)
        counts.append(delivery.delivery_count)
        harness.queue.complete(delivery)
        harness.advance(1)
    assert counts.count(2) == 1


def test_abandon_on_the_last_delivery_is_death(harness: QueueHarness) -> None:
    """The last abandon sends the message to the dead letters with its reason, delay or not."""
    harness.queue.send(messages("a"))
    for count in range(1, harness.max_deliveries + 1):
        delivery = received(harness.queue)
        assert delivery.delivery_count == count
        harness.queue.abandon(delivery, reason=f"failed {count}", delay_s=0 if count < harness.max_deliveries else 60)
    assert harness.queue.receive() is None
    (dead,) = harness.queue.dead_letters()
    assert dead.message == messages("a")[0]
    assert dead.reason == f"failed {harness.max_deliveries}"
    assert dead.delivery_count == harness.max_deliveries
    assert dead.dead_lettered_utc.utcoffset() == timedelta(0)


def test_never_settled_is_death_with_a_reason(harness: QueueHarness) -> None:
    """A message whose receivers all vanish is delivered `max_deliveries` times, never more, and dies with a reason."""
    harness.queue.send(messages("a"))
    for _ in range(harness.max_deliveries):
        assert received(harness.queue).message.id == "a"
        harness.advance(harness.lock_s * 1.1)
    assert harness.queue.receive() is None
    (dead,) = harness.queue.dead_letters()
    assert dead.message.id == "a"
    assert dead.reason


def test_the_dying_do_not_block_the_living(harness: QueueHarness) -> None:
    """When the oldest message dies of an ended lock, the next one is delivered in the same call."""
    harness.queue.send(messages("poison"))
    for _ in range(harness.max_deliveries):
        harness.advance(harness.lock_s * 1.1)
        assert received(harness.queue).message.id == "poison"
    harness.queue.send(messages("good"))
    harness.advance(harness.lock_s * 1.1)
    assert ids(drained(harness.queue)) == ["good"]


def test_dead_letters_oldest_first(harness: QueueHarness) -> None:
    """Dead letters keep reason and order of death, and are delivered to nobody."""
    harness.queue.send(messages("a", "b"))
    first, second = received(harness.queue), received(harness.queue)
    harness.queue.dead_letter(second, reason="not JSON")
    harness.advance(1)
    harness.queue.dead_letter(first, reason="no such hydrophone")
    dead = harness.queue.dead_letters()
    assert [(letter.message.id, letter.reason) for letter in dead] == [("b", "not JSON"), ("a", "no such hydrophone")]
    harness.advance(harness.lock_s * 2)
    assert harness.queue.receive() is None


def test_replay_is_as_if_new(harness: QueueHarness) -> None:
    """A replayed message passes duplicate detection, queues up behind the others and has all its deliveries again."""
    harness.queue.send(messages("a", "b", "c"))
    for _ in range(2):
        harness.queue.dead_letter(received(harness.queue), reason="broken")
    assert harness.queue.replay(["b", "b", "never-sent", "c"]) == 1
    assert [letter.message.id for letter in harness.queue.dead_letters()] == ["a"]
    deliveries = drained(harness.queue)
    assert [(d.message, d.delivery_count) for d in deliveries] == [(m, 1) for m in messages("c", "b")]
    assert harness.queue.replay(["b"]) == 0


def test_replayed_messages_can_die_again(harness: QueueHarness) -> None:
    """After replay a message has `max_deliveries` deliveries, and its new reason replaces the old."""
    harness.queue.send(messages("a"))
    harness.queue.dead_letter(received(harness.queue), reason="old")
    harness.queue.replay(["a"])
    for count in range(harness.max_deliveries):
        delivery = received(harness.queue)
        assert delivery.delivery_count == count + 1
        harness.queue.abandon(delivery, reason="new")
    assert [letter.reason for letter in harness.queue.dead_letters()] == ["new"]
