"""Dead letters are counted, told by kind, and put back when their cause may be past."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.documents import SENT, result_blob_name
from shared.errors import StorageError
from shared.storage.ports import DeadLetter, Message
from shared.upkeep.deadletters import AT_ONCE, REPLAY_AFTER, DeadReport, is_due, replay, tend_dead_letters
from tests.clock import START_UTC
from tests.upkeep.conftest import UpkeepDesk, make_batch

ONE, TWO = make_batch(0), make_batch(6)


def fail_with(error: Exception) -> Callable[..., int]:
    """A function that raises, whatever it is given."""

    def fail(*_: object) -> int:
        raise error

    return fail


def tend(desk: UpkeepDesk) -> DeadReport:
    """One round."""
    return tend_dead_letters(queue=desk.queue, documents=desk.documents, blobs=desk.blobs, now=desk.clock)


def test_no_dead_letters_is_no_news(desk: UpkeepDesk, caplog: pytest.LogCaptureFixture) -> None:
    """A healthy queue gives an empty report and a silent log."""
    desk.send(ONE)

    assert tend(desk) == DeadReport()
    assert caplog.text == ""


def test_every_kind_is_counted_and_told(desk: UpkeepDesk, caplog: pytest.LogCaptureFixture) -> None:
    """Unreadable, scored meanwhile and failed letters are told apart: counts and reasons are in the log."""
    desk.queue.send([Message("rubbish", "{")])
    desk.send(ONE, TWO)
    for reason in ("no batch", "worker gone", "store down"):
        desk.kill_message(reason)
    desk.score(ONE)

    report = tend(desk)

    assert report.kinds == {"unreadable": 1, "scored": 1, "failed": 1}
    assert report.reasons == {"no batch": 1, "worker gone": 1, "store down": 1}
    assert report.total == 3
    assert "3 dead letters (`haro dead-letters`): 1 failed, 1 scored, 1 unreadable; 1 put back" in caplog.text
    assert all(reason in caplog.text for reason in report.reasons)


def test_what_is_scored_already_goes_back_at_once(desk: UpkeepDesk) -> None:
    """Its message is put back to be struck off, for the stage finds its result."""
    desk.send(ONE)
    desk.kill_message("worker gone")
    desk.score(ONE)

    assert tend(desk).replayed == 1
    assert desk.waiting() == [ONE.id]
    assert desk.queue.dead_letters() == []


def test_a_result_nobody_can_read_brings_its_letter_back_three_times(desk: UpkeepDesk) -> None:
    """A scored batch that dies again each time is left in the end: somebody must look at it."""
    desk.send(ONE)
    desk.score(ONE)
    for _ in REPLAY_AFTER:
        desk.kill_message("its result cannot be read")
        assert tend(desk).replayed == 1
    desk.kill_message("its result cannot be read")

    assert tend(desk).replayed == 0
    assert desk.queue.stats().dead == 1


def test_what_failed_is_tried_again_later_and_later_then_left(desk: UpkeepDesk) -> None:
    """A letter comes back an hour after its death, then six hours, then a day, and then no more."""
    desk.send(ONE)
    waits = []
    for wait in REPLAY_AFTER:
        desk.kill_message("store down")
        desk.clock.advance(wait.total_seconds() - 1)
        assert tend(desk).replayed == 0
        desk.clock.advance(1)
        assert tend(desk).replayed == 1
        waits.append(desk.sent(ONE).replayed)
    desk.kill_message("store down")
    desk.clock.advance(timedelta(days=300).total_seconds())

    assert tend(desk).replayed == 0
    assert waits == [1, 2, 3]
    assert desk.queue.stats().dead == 1


def test_unreadable_letters_stay(desk: UpkeepDesk) -> None:
    """Trying again would not help, so somebody must look."""
    desk.queue.send([Message("rubbish", "{")])
    desk.kill_message("no batch")
    desk.clock.advance(timedelta(days=30).total_seconds())

    assert tend(desk).replayed == 0
    assert [letter.message.id for letter in desk.queue.dead_letters()] == ["rubbish"]


def test_letters_without_account_are_replayed_too(desk: UpkeepDesk) -> None:
    """A batch that was sent before accounts were kept has its turns like any other."""
    desk.queue.send([Message(ONE.id, ONE.model_dump_json())])
    desk.kill_message("store down")
    desk.clock.advance(REPLAY_AFTER[0].total_seconds())

    assert tend(desk).replayed == 1
    assert desk.sent(ONE).replayed == 1


def test_a_fault_costs_no_letter_its_turn(desk: UpkeepDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one letter cannot be looked into, or the queue fails, the others keep their turns or have them."""
    batches = [make_batch(6 * k) for k in range(4)]
    desk.send(*batches)
    for _ in batches:
        desk.kill_message("store down")
    desk.clock.advance(REPLAY_AFTER[0].total_seconds())
    exists = desk.blobs.exists

    def sick(name: str) -> bool:
        if name == result_blob_name(batches[3].id):
            raise StorageError("no answer")
        return exists(name)

    with monkeypatch.context() as patched:
        patched.setattr(desk.blobs, "exists", sick)
        assert tend(desk).replayed == 3
    with monkeypatch.context() as patched:
        patched.setattr(desk.queue, "replay", fail_with(StorageError("no answer")))
        with pytest.raises(StorageError):
            tend(desk)
    assert tend(desk).replayed == 1
    assert [desk.sent(batch).replayed for batch in batches] == [1, 1, 1, 1]


def test_a_spoiled_account_costs_no_other_letter_its_turn(desk: UpkeepDesk, caplog: pytest.LogCaptureFixture) -> None:
    """An account that nobody can read is named, and the letter beside it goes back."""
    desk.send(ONE, TWO)
    for _ in range(2):
        desk.kill_message("store down")
    stored = desk.documents.get(SENT, ONE.hydrophone_id, ONE.clip_id)
    assert stored is not None
    desk.documents.replace(SENT, stored.body | {"batch": {}}, etag=stored.etag)
    desk.clock.advance(REPLAY_AFTER[0].total_seconds())

    assert tend(desk).replayed == 1
    assert desk.waiting() == [TWO.id]
    assert f"dead letter {ONE.id} cannot be looked into" in caplog.text


def test_a_letter_that_did_not_go_back_keeps_its_turn(desk: UpkeepDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the queue put back some only, as while another one holds the rest, no more than those are noted."""
    desk.send(ONE, TWO)
    for _ in range(2):
        desk.kill_message("store down")
    desk.clock.advance(REPLAY_AFTER[0].total_seconds())
    put_back = desk.queue.replay
    monkeypatch.setattr(desk.queue, "replay", lambda ids: put_back(set(ids) - {TWO.id}))

    assert tend(desk).replayed == 1
    assert [desk.sent(batch).replayed for batch in (ONE, TWO)] == [1, 0]


def test_a_great_many_go_back_by_and_by(desk: UpkeepDesk) -> None:
    """One round puts back a few, so that the live minute does not wait behind hundreds."""
    batches = [make_batch(6 * k) for k in range(AT_ONCE + 5)]
    desk.send(*batches)
    for _ in batches:
        desk.kill_message("store down")
    desk.clock.advance(REPLAY_AFTER[0].total_seconds())

    assert [tend(desk).replayed for _ in range(3)] == [AT_ONCE, 5, 0]


def test_many_reasons_make_few_lines(desk: UpkeepDesk, caplog: pytest.LogCaptureFixture) -> None:
    """All are counted by kind, the commonest told, and the rest counted."""
    desk.queue.send([Message(f"m{k}", "{") for k in range(15)])
    for k in range(15):
        desk.kill_message(f"reason {k}")

    report = tend(desk)

    assert report.total == 15
    assert len(caplog.records) == 12
    assert caplog.records[-1].getMessage().startswith("5 dead letters for other reasons")


def test_what_a_person_puts_back_is_on_its_way_again(desk: UpkeepDesk) -> None:
    """A replay by hand is noted in the account, so that reconciling does not take it for vanished."""
    desk.send(ONE)
    desk.kill_message("store down")
    desk.clock.advance(7200)

    assert replay(desk.queue.dead_letters(), queue=desk.queue, documents=desk.documents, now=desk.clock) == 1
    assert (desk.sent(ONE).sent_utc, desk.sent(ONE).replayed) == (desk.clock(), 1)


@given(replayed=st.integers(0, 10), dead_for_s=st.floats(0, 1e7))
def test_a_letter_is_due_at_most_three_times_and_never_early(replayed: int, dead_for_s: float) -> None:
    """Whatever its history, a letter is due only after its wait, and not after the last one."""
    letter = DeadLetter(Message("a", "{}"), "reason", 1, START_UTC)
    now = START_UTC + timedelta(seconds=dead_for_s)

    due = is_due(letter, replayed=replayed, now=now)

    assert due == (replayed < 3 and now - START_UTC >= REPLAY_AFTER[min(replayed, 2)])
