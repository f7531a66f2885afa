"""What was sent is compared with what was recorded."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from shared.documents import SENT, SentBatch, result_blob_name
from shared.errors import StorageError
from shared.storage.ports import QueueStats, Stored
from shared.upkeep.reconcile import MARGIN, Reconciled, reconcile
from tests.upkeep.conftest import UpkeepDesk, make_batch

GRACE_S = 1800.0
ONE, TWO = make_batch(0), make_batch(6)


def run(desk: UpkeepDesk, recorded: list[str] | None = None) -> Reconciled:
    """One round."""
    return reconcile(
        documents=desk.documents,
        blobs=desk.blobs,
        queue=desk.queue,
        record=(recorded if recorded is not None else []).append,
        grace_s=GRACE_S,
        now=desk.clock,
    )


def test_what_vanished_is_sent_again(desk: UpkeepDesk, caplog: pytest.LogCaptureFixture) -> None:
    """A batch whose message is gone without a result comes again, past duplicate detection, with the same content."""
    desk.send(ONE)
    desk.lose_message()
    desk.clock.advance(GRACE_S + 1)

    with caplog.at_level(logging.ERROR):
        assert run(desk) == Reconciled(resent=1)

    delivery = desk.queue.receive()
    assert delivery is not None
    assert delivery.message.id == f"{ONE.id}~1"
    assert delivery.message.body == ONE.model_dump_json()
    assert ONE.id in caplog.text
    assert desk.sent(ONE).resent == 1


def test_it_is_sent_again_as_often_as_it_vanishes(desk: UpkeepDesk) -> None:
    """Each round after another grace period sends it under a new id; within it, nothing happens."""
    desk.send(ONE)
    desk.lose_message()
    for again in (1, 2, 3):
        desk.clock.advance(GRACE_S + 1)
        assert run(desk) == Reconciled(resent=1)
        assert run(desk) == Reconciled()
        assert desk.waiting() == [f"{ONE.id}~{again}"]


def test_what_is_young_is_left_alone(desk: UpkeepDesk) -> None:
    """Before its grace is over a batch may be in somebody's hands."""
    desk.send(ONE)
    desk.lose_message()
    desk.clock.advance(GRACE_S - 1)

    assert run(desk) == Reconciled()


def test_what_still_waits_is_left_alone(desk: UpkeepDesk) -> None:
    """After a long standstill, batches no older than the oldest message on the queue are still on it."""
    desk.send(ONE)
    desk.lose_message()
    desk.clock.advance(MARGIN.total_seconds() + 5)
    desk.send(TWO)
    desk.clock.advance(4 * GRACE_S)

    assert run(desk) == Reconciled(resent=1, waiting=1)
    assert desk.waiting() == [TWO.id, f"{ONE.id}~1"]


def test_what_is_at_work_is_left_alone(desk: UpkeepDesk) -> None:
    """A batch on its last try, alone on the queue and in a worker's hands long after it was sent, has not vanished."""
    desk.send(ONE)
    for _ in range(2):
        delivery = desk.queue.receive()
        assert delivery is not None
        desk.queue.abandon(delivery, reason="no answer", delay_s=GRACE_S)
        desk.clock.advance(GRACE_S)
    assert desk.queue.receive() is not None

    assert run(desk) == Reconciled(waiting=1)


def test_an_account_is_older_than_its_message(desk: UpkeepDesk) -> None:
    """Accounts are written before messages are sent, in one go for many: none of these has vanished."""
    for batch in (batches := [make_batch(6 * k) for k in range(5)]):
        desk.documents.create(SENT, SentBatch.of(batch, sent_utc=desk.clock()).to_json())
        desk.clock.advance(1)
    desk.queue.send([SentBatch.of(batch, sent_utc=desk.clock()).message() for batch in batches])
    desk.clock.advance(2 * GRACE_S)

    assert run(desk) == Reconciled(waiting=5)


def test_the_vanished_are_found_behind_any_number_that_wait(desk: UpkeepDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead letters nobody tends, more than a page of them and many of one moment, hide nothing."""
    monkeypatch.setattr("shared.upkeep.reconcile._PAGE", 4)
    dead = [make_batch(6 * k) for k in range(9)]
    for first, last in ((0, 3), (3, 9)):
        desk.send(*dead[first:last])
        desk.clock.advance(1)
    for _ in dead:
        desk.kill_message("the model does not load")
    desk.send(lost := make_batch(600))
    desk.lose_message()
    desk.clock.advance(GRACE_S + 1)

    assert run(desk) == Reconciled(waiting=9, resent=1)
    assert desk.waiting() == [f"{lost.id}~1"]


def test_what_was_scored_is_recorded_behind_any_number_that_wait(
    desk: UpkeepDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many dead letters nobody tends, a result that nobody recorded is found, in the same round."""
    monkeypatch.setattr("shared.upkeep.reconcile._MOST_LOST", 3)
    dead = [make_batch(6 * k) for k in range(4)]
    desk.send(*dead)
    for _ in dead:
        desk.kill_message("the model does not load")
    desk.clock.advance(1)
    desk.send(scored := make_batch(600))
    desk.lose_message()
    desk.score(scored)
    desk.clock.advance(GRACE_S + 1)

    recorded: list[str] = []
    assert run(desk, recorded) == Reconciled(recorded=1, waiting=3)
    assert recorded == [result_blob_name(scored.id)]


def test_a_spoiled_account_costs_the_others_nothing(desk: UpkeepDesk, caplog: pytest.LogCaptureFixture) -> None:
    """An account that nobody can read is named, and what vanished beside it is sent again."""
    desk.send(ONE, TWO)
    desk.lose_message()
    desk.lose_message()
    stored = desk.documents.get(SENT, ONE.hydrophone_id, ONE.clip_id)
    assert stored is not None
    desk.documents.replace(SENT, stored.body | {"batch": {}}, etag=stored.etag)
    desk.clock.advance(GRACE_S + 1)

    assert run(desk) == Reconciled(resent=1, failed=1)
    assert f"{ONE.clip_id} cannot be set right" in caplog.text


def test_a_queue_too_long_to_look_through_sends_nothing_again(
    desk: UpkeepDesk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who cannot see all dead letters cannot know what vanished: it is told, and nothing is sent twice."""
    desk.send(ONE)
    desk.lose_message()
    desk.clock.advance(GRACE_S + 1)
    monkeypatch.setattr(desk.queue, "stats", lambda: QueueStats(0, 5000, 0.0, complete=False))

    assert run(desk) == Reconciled(waiting=1)
    assert "too long to be looked through" in caplog.text


def test_results_are_recorded_though_the_queue_is_down(desk: UpkeepDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording needs no queue, so a queue that is down does not keep results waiting."""
    desk.send(ONE, TWO)
    desk.score(ONE)
    desk.clock.advance(GRACE_S + 1)
    recorded: list[str] = []

    def down() -> QueueStats:
        raise StorageError("no answer")

    monkeypatch.setattr(desk.queue, "stats", down)

    with pytest.raises(StorageError):
        run(desk, recorded)
    assert recorded == [result_blob_name(ONE.id)]


def test_what_lies_dead_is_left_alone(desk: UpkeepDesk) -> None:
    """A batch among the dead letters has not vanished, unreadable ones beside it or not."""
    desk.send(ONE)
    desk.kill_message("the disk was full")
    desk.clock.advance(GRACE_S + 1)

    assert run(desk) == Reconciled(waiting=1)
    assert desk.waiting() == []


def test_a_result_nobody_recorded_is_recorded(desk: UpkeepDesk) -> None:
    """When the result is there but its recording never came, it comes now; nothing is scored twice."""
    desk.send(ONE)
    desk.lose_message()
    desk.score(ONE)
    desk.clock.advance(GRACE_S + 1)
    recorded: list[str] = []

    assert run(desk, recorded) == Reconciled(recorded=1)
    assert recorded == [result_blob_name(ONE.id)]
    assert desk.waiting() == []


def test_one_that_fails_costs_the_others_nothing(desk: UpkeepDesk, caplog: pytest.LogCaptureFixture) -> None:
    """A result that cannot be recorded is told, and the next batch is set right."""
    desk.send(ONE, TWO)
    desk.lose_message()
    desk.lose_message()
    desk.score(ONE)
    desk.clock.advance(GRACE_S + 1)

    def broken(_: str) -> object:
        raise StorageError("the store is down")

    found = reconcile(
        documents=desk.documents,
        blobs=desk.blobs,
        queue=desk.queue,
        record=broken,
        grace_s=GRACE_S,
        now=desk.clock,
    )

    assert found == Reconciled(failed=1, resent=1)
    assert "the store is down" in caplog.text
    assert desk.waiting() == [f"{TWO.id}~1"]


def test_two_reconcilers_send_once(desk: UpkeepDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two that see the same lost batch, the one whose note of it is refused sends nothing."""
    desk.send(ONE)
    desk.lose_message()
    desk.clock.advance(GRACE_S + 1)
    query = desk.documents.query
    ran: list[Reconciled] = []

    def overtaken(*arguments: Any, **named: Any) -> list[Stored]:
        found = query(*arguments, **named)
        monkeypatch.setattr(desk.documents, "query", query)
        ran.append(run(desk))
        return found

    monkeypatch.setattr(desk.documents, "query", overtaken)

    assert run(desk) == Reconciled()
    assert ran == [Reconciled(resent=1)]
    assert desk.waiting() == [f"{ONE.id}~1"]
