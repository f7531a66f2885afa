"""The outbox when channels, the store or the process fail: nobody is told twice, and no detection is lost."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import pytest

from shared.documents import OUTBOX, Audience
from shared.errors import StorageError
from shared.recording.channels import Channel, Notice
from shared.recording.outbox import Delivered, deliver_due
from shared.storage.local.database import Database
from shared.storage.ports import Container, Json, Stored
from tests.crashing_documents import Crash, CrashingDocuments, open_documents
from tests.recording.fakes import Clock, RecordingSender
from tests.recording.outbox import MODERATORS, POLICY, SUBSCRIBERS, deliver, entries, heard, tell


class FailingMarks(CrashingDocuments):
    """Fails at the writes of `state: sent` for as many as `marks` says, each before or after it was done."""

    def __init__(self, database: Database, *marks: str) -> None:
        super().__init__(database)
        self.marks = list(marks)
        self.unreadable = False

    def replace(self, container: Container, body: Json, *, etag: str) -> str:
        """See `DocumentStore.replace`."""
        when = self.marks.pop(0) if self.marks and body.get("state") == "sent" else ""
        if when == "before":
            raise StorageError("status 503")
        written = super().replace(container, body, etag=etag)
        if when == "after":
            raise StorageError("the answer was lost")
        return written

    def get(self, container: Container, partition: str, doc_id: str) -> Stored | None:
        """See `DocumentStore.get`."""
        if self.unreadable and container == OUTBOX and doc_id != "lease":
            raise StorageError("status 503")
        return super().get(container, partition, doc_id)


def test_a_failing_channel_is_tried_again_and_costs_the_others_nothing(documents: CrashingDocuments) -> None:
    """Refused twice, then taken: one message arrives, with its first attempt's key; the other channel never waited."""
    clock = Clock()
    keys: list[str] = []

    class Flaky(RecordingSender):
        def send(self, channel: Channel, notice: Notice) -> None:
            if channel == MODERATORS:
                keys.append(notice.idempotency_key)
                super().send(channel, notice)
            else:
                self.sent.append((channel, notice))

    sender = Flaky(failures=2)
    tell(documents, [heard(0)], MODERATORS, SUBSCRIBERS, clock=clock)
    rounds = []
    for seconds in (0, 29, 1, 59, 1, 3600):
        clock.advance(seconds)
        rounds.append(deliver(documents, sender, MODERATORS, SUBSCRIBERS, clock=clock))

    assert rounds == [
        Delivered(sent=1, failed=1),
        Delivered(),
        Delivered(failed=1),
        Delivered(),
        Delivered(sent=1),
        Delivered(),
    ]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(sender.told(MODERATORS)) == len(sender.told(SUBSCRIBERS)) == 1


def test_a_channel_that_just_failed_is_left_alone_for_the_round(documents: CrashingDocuments) -> None:
    """With much to tell and nobody answering, a round makes one attempt, and the next one tries the next message."""
    sender, clock = RecordingSender(failures=2), Clock()
    tell(documents, [heard(0), heard(60), heard(120)], MODERATORS, clock=clock)

    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(failed=1)
    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(failed=1)
    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(sent=1)
    clock.advance(30)
    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(sent=2)


def test_delivery_gives_up_aloud(documents: CrashingDocuments, caplog: pytest.LogCaptureFixture) -> None:
    """With its attempts used up an entry is failed, an error names the detection, and the URL stays secret."""
    clock = Clock()
    sender = RecordingSender(failures=1000)
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    with caplog.at_level(logging.DEBUG):
        for _ in range(40):
            deliver(documents, sender, MODERATORS, clock=clock)
            clock.advance(3600)

    (entry,) = entries(documents)
    assert entry.state == "failed"
    assert entry.attempts <= POLICY.max_attempts
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert entry.detection_id in error.getMessage()
    assert "secret" not in caplog.text


def test_a_bug_met_by_one_message_stops_neither_its_channel_nor_the_others(
    documents: CrashingDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw is logged with its traceback, tried again as a failure is, and costs no other message."""
    clock = Clock()

    class Surprised(RecordingSender):
        def send(self, channel: Channel, notice: Notice) -> None:
            if channel == MODERATORS and notice.detections[0]["id"] == heard(0)["id"]:
                raise KeyError("predictions")
            super().send(channel, notice)

    sender = Surprised()
    tell(documents, [heard(0)], MODERATORS, SUBSCRIBERS, clock=clock)
    clock.advance(1)  # in this order
    tell(documents, [heard(60)], MODERATORS, SUBSCRIBERS, clock=clock)

    assert deliver(documents, sender, MODERATORS, SUBSCRIBERS, clock=clock) == Delivered(sent=1, failed=1)
    assert deliver(documents, sender, MODERATORS, SUBSCRIBERS, clock=clock) == Delivered(sent=1)
    assert sender.told(MODERATORS) == [heard(60)["id"]]
    (waiting,) = [entry for entry in entries(documents) if entry.state == "waiting"]
    assert (waiting.attempts, waiting.last_error) == (1, "a bug: KeyError")
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


def test_a_channel_whose_entries_cannot_be_read_costs_the_others_nothing(
    documents: CrashingDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    """An outbox entry that somebody spoiled stops its own channel, with a traceback in the log, and no other."""
    sender, clock = RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, SUBSCRIBERS, clock=clock)
    documents.create(OUTBOX, {"id": "spoiled", "channel_id": MODERATORS.id, "state": "waiting"})

    assert deliver(documents, sender, MODERATORS, SUBSCRIBERS, clock=clock) == Delivered(sent=1)
    assert len(sender.told(SUBSCRIBERS)) == 1
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


@pytest.mark.parametrize("audience", ["moderators", "subscribers"])
def test_a_crash_at_any_write_repeats_at_most_the_same_message(
    documents: CrashingDocuments, audience: Audience
) -> None:
    """Killed at every write in turn and started again: each message goes out, and any repeat carries the same key."""
    channel = replace(MODERATORS, audience=audience)
    detections = [heard(0), heard(1), heard(120)]
    tell(documents, detections, channel, clock=Clock())
    planned = documents.writes
    deliver(documents, RecordingSender(), channel, clock=Clock())

    for crash_at in range(planned + 1, documents.writes + 1):
        sender, clock = RecordingSender(), Clock()
        with open_documents() as killed:
            tell(killed, detections, channel, clock=clock)
            killed.crash_at = crash_at
            with pytest.raises(Crash):
                deliver(killed, sender, channel, clock=clock)
            killed.crash_at = None
            marked = {entry.notice_id for entry in entries(killed) if entry.state == "sent"}
            for _ in range(4):
                clock.advance(900)
                deliver(killed, sender, channel, clock=clock)
            final = entries(killed)

        first_by_key = {notice.idempotency_key: notice for _, notice in reversed(sender.sent)}
        told = Counter(one["id"] for notice in first_by_key.values() for one in notice.detections)
        suppressed = {entry.detection_id for entry in final if entry.state == "suppressed"}
        assert set(told) | suppressed == {one["id"] for one in detections}
        assert set(told.values()) == {1}
        assert not (set(told) & suppressed)
        assert audience == "subscribers" or not suppressed
        keys = Counter(notice.idempotency_key for _, notice in sender.sent)
        assert sum(keys.values()) - len(keys) <= 1
        assert all(keys[notice_id] == 1 for notice_id in marked)
        assert {entry.state for entry in final} <= {"sent", "suppressed"}


@pytest.mark.parametrize("minutes", [(0,), (0, 1, 2)], ids=["one", "a bout"])
@pytest.mark.parametrize(
    "marks", [("before",), ("after",), ("before", "after"), ("after", "before", "before")], ids="-".join
)
def test_a_store_that_fails_at_marking_tells_nobody_twice(
    database: Database, marks: tuple[str, ...], minutes: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Writes that failed after a message went out, done or not, are tried again: one message, no alarm, all sent."""
    documents, sender, clock = FailingMarks(database, *marks), RecordingSender(), Clock()
    pauses: list[float] = []
    tell(documents, map(heard, minutes), MODERATORS, clock=clock)

    done = deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, pause=pauses.append)
    for _ in range(3):
        clock.advance(3600)
        deliver(documents, sender, MODERATORS, clock=clock)

    assert done == Delivered(sent=1)
    assert len(sender.sent) == 1
    assert [entry.state for entry in entries(documents)] == ["sent"] * len(minutes)
    assert sum(pauses) <= 1.0
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_one_marked_entry_is_enough(documents: CrashingDocuments, caplog: pytest.LogCaptureFixture) -> None:
    """An entry that can never be marked does not make its message go out again: another of the same is marked."""
    sender, clock = RecordingSender(), Clock()
    tell(documents, map(heard, (0, 1, 2)), MODERATORS, clock=clock)
    stubborn = entries(documents)[0].id

    def replace(container: Container, body: Json, *, etag: str) -> str:
        if body["id"] == stubborn and body["state"] == "sent":
            raise StorageError("status 503")
        return CrashingDocuments.replace(documents, container, body, etag=etag)

    documents.replace = replace  # type: ignore[method-assign]  # fails for one entry alone
    for _ in range(3):
        deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, pause=lambda _: None)
        clock.advance(3600)

    assert len(sender.sent) == 1
    assert [entry.state for entry in entries(documents)] == ["waiting", "sent", "sent"]
    assert "told again" not in caplog.text


def test_a_message_that_can_never_be_marked_is_said_aloud(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """With every try failed an error says that people may be told again; then they are, once, with the same key."""
    documents, sender, clock = FailingMarks(database, *["before"] * 4), RecordingSender(), Clock()
    pauses: list[float] = []
    tell(documents, [heard(0)], MODERATORS, clock=clock)

    assert deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, pause=pauses.append) == Delivered(
        sent=1
    )
    assert len(sender.sent) == 1
    assert len(pauses) == 4
    assert sum(pauses) == pytest.approx(1.0)
    (error,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "people may be told again" in error
    assert sender.sent[0][1].idempotency_key in error

    for _ in range(3):
        deliver(documents, sender, MODERATORS, clock=clock)
    assert len({notice.idempotency_key for _, notice in sender.sent}) == 1
    assert len(sender.sent) == 2


def test_a_mark_that_cannot_be_read_back_is_tried_again(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """The mark was written, its answer lost, and the reading back fails too: what is stored stands, one message."""
    documents, sender, clock = FailingMarks(database, "after"), RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    documents.unreadable = True
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        documents.unreadable = len(pauses) < 4

    deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, pause=pause)
    deliver(documents, sender, MODERATORS, clock=clock)

    assert len(pauses) == 4
    assert "told again" not in caplog.text
    assert len(sender.sent) == 1
    assert [entry.state for entry in entries(documents)] == ["sent"]
