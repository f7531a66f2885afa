"""What every message queue must do."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.errors import ConflictError, StorageError
from shared.storage.ports import MAX_MESSAGE_BYTES, Delivery, Message, MessageQueue
from tests.contract.conftest import QueueHarness


def _messages(*ids: str) -> list[Message]:
    return [Message(message_id, json.dumps({"id": message_id})) for message_id in ids]


def _received(queue: MessageQueue) -> Delivery:
    delivery = queue.receive()
    assert delivery is not None, "a message was due"
    return delivery


def _drained(queue: MessageQueue) -> list[Delivery]:
    """Everything due, each completed."""
    deliveries = []
    while (delivery := queue.receive()) is not None:
        queue.complete(delivery)
        deliveries.append(delivery)
    return deliveries


def _ids(deliveries: list[Delivery]) -> list[str]:
    return [delivery.message.id for delivery in deliveries]


def test_delivers_what_was_sent(harness: QueueHarness) -> None:
    """A message arrives whole, whatever text it holds, with its first delivery counted and a lock ahead of it."""
    body = json.dumps({"hydrophone": "Xwísen", "emoji": "🐋", "nul": "\0", "long": "x" * 50_000}, ensure_ascii=False)
    harness.queue.send([Message("rpi_bush_point/1773990017/5614-5619", body)])
    delivery = _received(harness.queue)
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
    harness.queue.send(_messages("a"))
    _drained(harness.queue)
    assert harness.queue.receive() is None


def test_first_in_first_out(harness: QueueHarness) -> None:
    """Messages come in the order they were sent in, within one send and over several."""
    harness.queue.send(_messages("c", "a", "b"))
    harness.queue.send(_messages("0"))
    assert _ids(_drained(harness.queue)) == ["c", "a", "b", "0"]


def test_send_is_all_or_none(harness: QueueHarness) -> None:
    """One message that is not allowed keeps the whole send away, and the others may be sent again."""
    too_large = Message("large", "x" * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(StorageError, match="large"):
        harness.queue.send([*_messages("a"), too_large])
    assert harness.queue.receive() is None
    harness.queue.send(_messages("a"))
    assert _ids(_drained(harness.queue)) == ["a"]


@pytest.mark.parametrize("message", [Message("", "{}"), Message("x" * 129, "{}"), Message("lone", '"\ud800"')])
def test_messages_that_are_not_allowed(harness: QueueHarness, message: Message) -> None:
    """An empty or overlong id, or text that UTF-8 cannot carry, is refused."""
    with pytest.raises(StorageError):
        harness.queue.send([message])


def test_a_locked_message_is_not_delivered_twice(harness: QueueHarness) -> None:
    """While its lock holds, nobody else gets the message."""
    harness.queue.send(_messages("a"))
    delivery = _received(harness.queue)
    assert harness.queue.receive() is None
    harness.advance(harness.lock_s * 0.4)
    assert harness.queue.receive() is None
    harness.queue.complete(delivery)


def test_a_lock_that_ends_gives_the_message_back(harness: QueueHarness) -> None:
    """An unsettled message is delivered again after its lock, counted, with another token, and the old lock is lost."""
    harness.queue.send(_messages("a", "b"))
    first = _received(harness.queue)
    harness.advance(harness.lock_s * 1.1)
    second = _received(harness.queue)
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
    assert _ids(_drained(harness.queue)) == ["b"]


def test_a_lock_is_lost_when_its_time_is_over(harness: QueueHarness) -> None:
    """Settling after the lock ended fails even if nobody else has received the message yet; it is delivered again."""
    harness.queue.send(_messages("a"))
    delivery = _received(harness.queue)
    harness.advance(harness.lock_s * 1.1)
    with pytest.raises(ConflictError):
        harness.queue.complete(delivery)
    assert _ids(_drained(harness.queue)) == ["a"]


def test_a_delivery_is_settled_once(harness: QueueHarness) -> None:
    """After complete, abandon or dead_letter the same delivery cannot be settled again."""
    harness.queue.send(_messages("completed", "abandoned", "buried"))
    completed, abandoned, buried = (_received(harness.queue) for _ in range(3))
    harness.queue.complete(completed)
    harness.queue.abandon(abandoned, reason="busy")
    harness.queue.dead_letter(buried, reason="broken")
    for delivery in (completed, abandoned, buried):
        with pytest.raises(ConflictError):
            harness.queue.complete(delivery)
    assert _ids(_drained(harness.queue)) == ["abandoned"]


def test_abandon_gives_back_at_once_and_in_place(harness: QueueHarness) -> None:
    """An abandoned message is due at once, ahead of those sent later, with its next delivery counted."""
    harness.queue.send(_messages("a", "b"))
    harness.queue.abandon(_received(harness.queue), reason="busy")
    deliveries = _drained(harness.queue)
    assert _ids(deliveries) == ["a", "b"]
    assert [delivery.delivery_count for delivery in deliveries] == [2, 1]


def test_abandon_with_a_delay(harness: QueueHarness) -> None:
    """A message abandoned with a delay lets others pass, and comes back after it, its deliveries still counted."""
    harness.queue.send(_messages("a", "b"))
    harness.queue.abandon(_received(harness.queue), reason="server down", delay_s=harness.lock_s * 2)
    assert harness.queue.stats().active == 2
    assert _ids(_drained(harness.queue)) == ["b"]
    harness.advance(harness.lock_s * 1.5)
    assert harness.queue.receive() is None
    harness.advance(harness.lock_s * 0.6)
    delivery = _received(harness.queue)
    assert (delivery.message.id, delivery.delivery_count) == ("a", 2)
    harness.queue.complete(delivery)


def test_abandon_on_the_last_delivery_is_death(harness: QueueHarness) -> None:
    """The last abandon sends the message to the dead letters with its reason, delay or not."""
    harness.queue.send(_messages("a"))
    for count in range(1, harness.max_deliveries + 1):
        delivery = _received(harness.queue)
        assert delivery.delivery_count == count
        harness.queue.abandon(delivery, reason=f"failed {count}", delay_s=0 if count < harness.max_deliveries else 60)
    assert harness.queue.receive() is None
    (dead,) = harness.queue.dead_letters()
    assert dead.message == _messages("a")[0]
    assert dead.reason == f"failed {harness.max_deliveries}"
    assert dead.delivery_count == harness.max_deliveries
    assert dead.dead_lettered_utc.utcoffset() == timedelta(0)


def test_never_settled_is_death_with_a_reason(harness: QueueHarness) -> None:
    """A message whose receivers all vanish is delivered `max_deliveries` times, never more, and dies with a reason."""
    harness.queue.send(_messages("a"))
    for _ in range(harness.max_deliveries):
        assert _received(harness.queue).message.id == "a"
        harness.advance(harness.lock_s * 1.1)
    assert harness.queue.receive() is None
    (dead,) = harness.queue.dead_letters()
    assert dead.message.id == "a"
    assert dead.reason


def test_the_dying_do_not_block_the_living(harness: QueueHarness) -> None:
    """When the oldest message dies of an ended lock, the next one is delivered in the same call."""
    harness.queue.send(_messages("poison", "good"))
    for _ in range(harness.max_deliveries):
        assert _received(harness.queue).message.id == "poison"
        harness.advance(harness.lock_s * 1.1)
    assert _ids(_drained(harness.queue)) == ["good"]


def test_dead_letters_oldest_first(harness: QueueHarness) -> None:
    """Dead letters keep reason and order of death, and are delivered to nobody."""
    harness.queue.send(_messages("a", "b"))
    first, second = _received(harness.queue), _received(harness.queue)
    harness.queue.dead_letter(second, reason="not JSON")
    harness.advance(1)
    harness.queue.dead_letter(first, reason="no such hydrophone")
    dead = harness.queue.dead_letters()
    assert [(letter.message.id, letter.reason) for letter in dead] == [("b", "not JSON"), ("a", "no such hydrophone")]
    harness.advance(harness.lock_s * 2)
    assert harness.queue.receive() is None


def test_replay_is_as_if_new(harness: QueueHarness) -> None:
    """A replayed message passes duplicate detection, queues up behind the others and has all its deliveries again."""
    harness.queue.send(_messages("a", "b", "c"))
    for _ in range(2):
        harness.queue.dead_letter(_received(harness.queue), reason="broken")
    assert harness.queue.replay(["b", "b", "never-sent", "c"]) == 1
    assert [letter.message.id for letter in harness.queue.dead_letters()] == ["a"]
    deliveries = _drained(harness.queue)
    assert [(d.message, d.delivery_count) for d in deliveries] == [(m, 1) for m in _messages("c", "b")]
    assert harness.queue.replay(["b"]) == 0


def test_replayed_messages_can_die_again(harness: QueueHarness) -> None:
    """After replay a message has `max_deliveries` deliveries, and its new reason replaces the old."""
    harness.queue.send(_messages("a"))
    harness.queue.dead_letter(_received(harness.queue), reason="old")
    harness.queue.replay(["a"])
    for count in range(harness.max_deliveries):
        delivery = _received(harness.queue)
        assert delivery.delivery_count == count + 1
        harness.queue.abandon(delivery, reason="new")
    assert [letter.reason for letter in harness.queue.dead_letters()] == ["new"]


def test_duplicates_are_dropped(harness: QueueHarness) -> None:
    """A second message of an id is dropped silently: in one send, later, with another body, and after completion."""
    harness.queue.send([*_messages("a"), *_messages("a")])
    harness.queue.send([Message("a", "other body"), *_messages("b")])
    deliveries = _drained(harness.queue)
    assert [delivery.message for delivery in deliveries] == _messages("a", "b")
    harness.queue.send(_messages("a"))
    assert harness.queue.receive() is None


def test_a_dead_letter_is_remembered_too(harness: QueueHarness) -> None:
    """Sending again what lies dead, within the window, changes nothing."""
    harness.queue.send(_messages("a"))
    harness.queue.dead_letter(_received(harness.queue), reason="broken")
    harness.queue.send(_messages("a"))
    assert harness.queue.receive() is None
    assert len(harness.queue.dead_letters()) == 1


def test_ids_are_forgotten_after_the_window(harness: QueueHarness) -> None:
    """The window counts from the first send; after it the id is new again."""
    harness.queue.send(_messages("a"))
    _drained(harness.queue)
    harness.advance(harness.duplicate_window_s * 0.6)
    harness.queue.send(_messages("a"))
    assert harness.queue.receive() is None
    harness.advance(harness.duplicate_window_s * 0.6)
    harness.queue.send(_messages("a"))
    assert _ids(_drained(harness.queue)) == ["a"]


def test_competing_consumers_share_the_work(harness: QueueHarness) -> None:
    """Two consumers at once get every message, and none of them twice."""
    sent = [f"m{index:03}" for index in range(60)]
    harness.queue.send(_messages(*sent))
    with ThreadPoolExecutor(2) as pool:
        shares = list(pool.map(lambda _: _ids(_drained(harness.queue)), range(2)))
    assert sorted(shares[0] + shares[1]) == sent
    assert harness.queue.stats().active == 0


def test_senders_at_once_make_no_duplicates(harness: QueueHarness) -> None:
    """Two senders of the same messages put each on the queue once."""
    batches = [_messages(*(f"m{index}" for index in range(start, start + 5))) for start in range(20)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(harness.queue.send, [*batches, *batches]))
    assert sorted(_ids(_drained(harness.queue))) == sorted(f"m{index}" for index in range(24))


def test_stats(harness: QueueHarness) -> None:
    """Waiting, delayed and locked messages are active; the age is that of the oldest message that waits."""
    stats = harness.queue.stats()
    assert (stats.active, stats.dead, stats.oldest_age_s) == (0, 0, 0.0)
    harness.queue.send(_messages("dead", "delayed"))
    harness.queue.dead_letter(_received(harness.queue), reason="broken")
    harness.advance(2)
    harness.queue.send(_messages("waiting"))
    harness.advance(1)
    harness.queue.abandon(_received(harness.queue), reason="busy", delay_s=harness.lock_s)
    stats = harness.queue.stats()
    assert (stats.active, stats.dead) == (2, 1)
    assert abs(stats.oldest_age_s - 3) <= harness.clock_tolerance_s
    locked = _received(harness.queue)
    assert harness.queue.stats().active == 2
    harness.queue.complete(locked)
    assert harness.queue.stats().active == 1


def test_stats_of_a_part(harness: QueueHarness) -> None:
    """What fits is counted whole; beyond, counting may end at so many active and dead ones each, and that is said."""
    harness.queue.send(_messages("dead", "dead too", "a", "b"))
    for _ in range(2):
        harness.queue.dead_letter(_received(harness.queue), reason="broken")
    whole = harness.queue.stats()
    assert (whole.active, whole.dead, whole.complete) == (2, 2, True)
    exactly = harness.queue.stats(at_most=2)
    assert (exactly.active, exactly.dead, exactly.complete) == (2, 2, True)
    part = harness.queue.stats(at_most=1)
    assert (part.active, part.dead, part.complete) in {(1, 1, False), (2, 2, True)}


@pytest.mark.parametrize(("active", "dead"), [(3, 0), (0, 3)])
def test_stats_say_when_either_is_not_counted_whole(harness: QueueHarness, active: int, dead: int) -> None:
    """Uncounted dead letters make the count a part as uncounted active messages do; never is a part called whole."""
    harness.queue.send(_messages(*(f"m{index}" for index in range(active + dead))))
    for _ in range(dead):
        harness.queue.dead_letter(_received(harness.queue), reason="broken")
    stats = harness.queue.stats(at_most=2)
    assert stats.complete == ((stats.active, stats.dead) == (active, dead))
    assert stats.active >= min(active, 2)
    assert stats.dead >= min(dead, 2)
