"""The outbox: nobody is told twice, and no detection is lost, whatever fails or dies."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import DETECTIONS, OUTBOX, Audience, OutboxEntry
from shared.errors import StorageError
from shared.recording.channels import Channel, Notice
from shared.recording.detections import Verdict, detection_document, moderated
from shared.recording.notify import NoticePolicy
from shared.recording.outbox import Delivered, deliver_due, plan
from shared.storage.ports import Container, Json, Stored
from tests.recording.fakes import LAB, NOON, Clock, Crash, MemoryDocuments, RecordingSender, make_result

POLICY = NoticePolicy()
MODERATORS = Channel.of("json://hooks.example/secret", "moderators", name="mods")
SUBSCRIBERS = Channel.of("mailto://u:p@mail.example", "subscribers", name="subs")
BOTH: frozenset[Audience] = frozenset({"moderators", "subscribers"})


def heard(minutes: float, *, hydrophone_id: str = LAB.id, confirmed: bool = True) -> Json:
    """A detection so many minutes after noon."""
    result = make_result(NOON + timedelta(minutes=minutes), hydrophone_id=hydrophone_id)
    detection = detection_document(result, LAB, audio_uri="", image_uri="", result_blob="")
    return moderated(detection, Verdict("yes", "Ann"), now=NOON) if confirmed else detection


def tell(documents: MemoryDocuments, detections: Iterable[Json], *channels: Channel, clock: Clock) -> None:
    """Store detections and plan who is told."""
    for detection in detections:
        documents.create(DETECTIONS, detection)
        plan(documents, detection, channels, audiences=BOTH, policy=POLICY, now=clock)


def deliver(documents: MemoryDocuments, sender: RecordingSender, *channels: Channel, clock: Clock) -> Delivered:
    """One round of delivery."""
    return deliver_due(documents, channels, sender, policy=POLICY, now=clock)


class FailingMarks(MemoryDocuments):
    """Fails at the writes of `state: sent` for as many as `marks` says, each before or after it was done."""

    def __init__(self, *marks: str) -> None:
        super().__init__()
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


def entries(documents: MemoryDocuments) -> list[OutboxEntry]:
    """All entries, in order of the sea's time."""
    found = [
        OutboxEntry.model_validate(b)
        for (name, _, i), b in documents.snapshot().items()
        if name == OUTBOX.name and i != "lease"
    ]
    return sorted(found, key=lambda entry: (entry.channel_id, entry.detection_utc))


def test_a_bout_is_told_at_once_and_then_together() -> None:
    """Five detections of one bout make two messages: the first at once, four more after the interval, then none."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    deliver(documents, sender, MODERATORS, clock=clock)
    for minute in range(1, 5):
        clock.advance(60)
        tell(documents, [heard(minute)], MODERATORS, clock=clock)
        assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered()
    clock.advance(60)

    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(sent=1)
    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered()
    assert [notice.title for _, notice in sender.sent] == [
        "Orca call candidate at Orcasound Lab",
        "4 more orca call candidates at Orcasound Lab",
    ]
    assert "5 detections so far" in sender.sent[1][1].body
    assert {entry.state for entry in entries(documents)} == {"sent"}
    assert {entry.bout_id for entry in entries(documents)} == {"rpi_orcasound_lab:2026-03-20T19:00:00Z"}


def test_a_failing_channel_is_tried_again_and_costs_the_others_nothing() -> None:
    """Refused twice, then taken: one message arrives, with its first attempt's key; the other channel never waited."""
    documents, clock = MemoryDocuments(), Clock()
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


def test_a_channel_that_just_failed_is_left_alone_for_the_round() -> None:
    """With much to tell and nobody answering, a round makes one attempt, and the next one tries the next message."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(failures=2), Clock()
    tell(documents, [heard(0), heard(60), heard(120)], MODERATORS, clock=clock)

    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(failed=1)
    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(failed=1)
    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(sent=1)
    clock.advance(30)
    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(sent=2)


def test_delivery_gives_up_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """With its attempts used up an entry is failed, an error names the detection, and the URL stays secret."""
    documents, clock = MemoryDocuments(), Clock()
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


def test_a_message_that_waited_for_days_unsent_is_still_tried_once() -> None:
    """A laptop that slept for two days after hearing orcas still tells its moderators."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    clock.advance(2 * 86400)

    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(sent=1)


def test_a_withdrawn_verdict_is_not_told() -> None:
    """A yes that became a no before the message went out tells subscribers nothing, and the entry says why."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    tell(documents, [heard(0, confirmed=False), heard(20)], SUBSCRIBERS, clock=clock)
    deliver(documents, sender, SUBSCRIBERS, clock=clock)

    assert sender.told(SUBSCRIBERS) == [heard(20)["id"]]
    assert [(e.state, e.suppressed_because) for e in entries(documents)] == [
        ("suppressed", "no longer confirmed"),
        ("sent", ""),
    ]


def test_subscribers_hear_nothing_old_however_long_delivery_was_tried() -> None:
    """A message that was refused until its call was more than a day old is suppressed, though it was begun."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(failures=1), Clock(NOON + timedelta(hours=23))
    tell(documents, [heard(0)], SUBSCRIBERS, clock=clock)
    assert deliver(documents, sender, SUBSCRIBERS, clock=clock) == Delivered(failed=1)
    clock.advance(2 * 3600)

    assert deliver(documents, sender, SUBSCRIBERS, clock=clock) == Delivered(suppressed=1)
    assert sender.sent == []


def test_a_bug_met_by_one_message_stops_neither_its_channel_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw is logged with its traceback, tried again as a failure is, and costs no other message."""
    documents, clock = MemoryDocuments(), Clock()

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


def test_a_channel_whose_entries_cannot_be_read_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An outbox entry that somebody spoiled stops its own channel, with a traceback in the log, and no other."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, SUBSCRIBERS, clock=clock)
    documents.create(OUTBOX, {"id": "spoiled", "channel_id": MODERATORS.id, "state": "waiting"})

    assert deliver(documents, sender, MODERATORS, SUBSCRIBERS, clock=clock) == Delivered(sent=1)
    assert len(sender.told(SUBSCRIBERS)) == 1
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


def test_two_deliverers_do_not_both_send() -> None:
    """While one sender is at work a second one leaves its channel alone, and goes on when the first has died."""
    documents, clock = MemoryDocuments(), Clock()
    second = RecordingSender()

    class Slow(RecordingSender):
        def send(self, channel: Channel, notice: Notice) -> None:
            deliver(documents, second, MODERATORS, clock=clock)
            super().send(channel, notice)
            documents.crash_at = 0  # a killed process releases nothing
            raise Crash

    first = Slow()
    tell(documents, [heard(0), heard(60)], MODERATORS, clock=clock)
    with pytest.raises(Crash):
        deliver(documents, first, MODERATORS, clock=clock)
    documents.crash_at = None
    deliver(documents, second, MODERATORS, clock=clock)
    assert second.sent == []

    clock.advance(POLICY.lease_s)
    deliver(documents, second, MODERATORS, clock=clock)
    keys = [notice.idempotency_key for _, notice in [*first.sent, *second.sent]]
    assert keys[0] == keys[1] != keys[2]
    assert len(keys) == 3


def test_an_overrun_lease_costs_no_double_marking() -> None:
    """A sender that hung beyond its lease finds the entry changed and writes nothing over the one who took over."""
    documents, clock = MemoryDocuments(), Clock()
    second = RecordingSender()

    class Hanging(RecordingSender):
        def send(self, channel: Channel, notice: Notice) -> None:
            clock.advance(POLICY.lease_s)
            deliver(documents, second, MODERATORS, clock=clock)
            super().send(channel, notice)

    first = Hanging()
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    deliver(documents, first, MODERATORS, clock=clock)

    (entry,) = entries(documents)
    assert (entry.state, entry.attempts) == ("sent", 2)
    assert {n.idempotency_key for _, n in first.sent} == {n.idempotency_key for _, n in second.sent}


@pytest.mark.parametrize("audience", ["moderators", "subscribers"])
def test_a_crash_at_any_write_repeats_at_most_the_same_message(audience: Audience) -> None:
    """Killed at every write in turn and started again: each message goes out, and any repeat carries the same key."""
    channel = replace(MODERATORS, audience=audience)
    detections = [heard(0), heard(1), heard(120)]
    unbroken = MemoryDocuments()
    tell(unbroken, detections, channel, clock=Clock())
    planned = unbroken.writes
    deliver(unbroken, RecordingSender(), channel, clock=Clock())
    writes = unbroken.writes

    for crash_at in range(planned + 1, writes + 1):
        documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
        tell(documents, detections, channel, clock=clock)
        documents.crash_at = crash_at
        with pytest.raises(Crash):
            deliver(documents, sender, channel, clock=clock)
        documents.crash_at = None
        marked = {entry.notice_id for entry in entries(documents) if entry.state == "sent"}
        for _ in range(4):
            clock.advance(900)
            deliver(documents, sender, channel, clock=clock)

        first_by_key = {notice.idempotency_key: notice for _, notice in reversed(sender.sent)}
        told = Counter(one["id"] for notice in first_by_key.values() for one in notice.detections)
        suppressed = {e.detection_id for e in entries(documents) if e.state == "suppressed"}
        assert set(told) | suppressed == {one["id"] for one in detections}
        assert set(told.values()) == {1}
        assert not (set(told) & suppressed)
        assert audience == "subscribers" or not suppressed
        keys = Counter(notice.idempotency_key for _, notice in sender.sent)
        assert sum(keys.values()) - len(keys) <= 1
        assert all(keys[notice_id] == 1 for notice_id in marked)
        assert {entry.state for entry in entries(documents)} <= {"sent", "suppressed"}


event = st.tuples(
    st.integers(0, 400),  # minute of the detection
    st.sampled_from([LAB.id, "rpi_bush_point"]),
    st.integers(0, 60),  # minutes until the next event
    st.booleans(),  # whether the channel refuses next
)


class Away(RecordingSender):
    """Refuses whatever comes while `away`, and notes when each message went out."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.away = False
        self.times: list[tuple[datetime, str, int]] = []

    def send(self, channel: Channel, notice: Notice) -> None:
        """See `Sender.send`."""
        self.failures = int(self.away)
        super().send(channel, notice)
        self.times.append((self.clock(), notice.detections[0]["source_guid"], len(notice.detections)))


def _play(events: list[tuple[int, str, int, bool]], channel: Channel) -> tuple[MemoryDocuments, Away, set[str]]:
    clock = Clock(NOON + timedelta(minutes=400))
    documents, sender = MemoryDocuments(), Away(clock)
    expected = set()
    for minute, hydrophone_id, pause, away in events:
        detection = heard(minute, hydrophone_id=hydrophone_id)
        expected.add(detection["id"])
        sender.away = away
        tell(documents, [detection, detection], channel, clock=clock)
        deliver(documents, sender, channel, clock=clock)
        clock.advance(pause * 60)
        deliver(documents, sender, channel, clock=clock)
    sender.away = False
    for _ in range(30):
        clock.advance(3600)
        deliver(documents, sender, channel, clock=clock)
    return documents, sender, expected


@settings(max_examples=60, deadline=None)
@given(st.lists(event, max_size=12))
def test_moderators_are_told_every_detection_exactly_once(events: list[tuple[int, str, int, bool]]) -> None:
    """In any order, with any failures, each detection is in exactly one message that arrived, grouped or not."""
    documents, sender, expected = _play(events, MODERATORS)

    assert Counter(sender.told(MODERATORS)) == dict.fromkeys(expected, 1)
    assert {entry.state for entry in entries(documents)} <= {"sent"}


@settings(max_examples=60, deadline=None)
@given(st.lists(event, max_size=12))
def test_subscribers_get_one_message_in_a_quarter_of_an_hour(events: list[tuple[int, str, int, bool]]) -> None:
    """Two messages on a hydrophone are 15 minutes apart or more; each detection is told once or suppressed."""
    documents, sender, expected = _play(events, SUBSCRIBERS)

    for hydrophone_id in (LAB.id, "rpi_bush_point"):
        times = [moment for moment, where, _ in sender.times if where == hydrophone_id]
        assert all(after - before >= timedelta(minutes=15) for before, after in pairwise(times))
    told = Counter(sender.told(SUBSCRIBERS))
    assert set(told.values()) <= {1}
    suppressed = {entry.detection_id for entry in entries(documents) if entry.suppressed_because}
    assert set(told) | suppressed == expected
    assert not set(told) & suppressed


def test_people_get_links_they_can_open() -> None:
    """What is sent carries links; what is stored keeps the lasting addresses."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, clock=clock)

    deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, link="https://open/{}".format)

    ((_, notice),) = sender.sent
    assert notice.detections[0]["audioUri"] == "https://open/detections/one.flac"
    assert "https://open/detections/one.flac" in notice.body
    stored = documents.get(DETECTIONS, LAB.id, heard(0)["id"])
    assert stored is not None
    assert stored.body["audioUri"] == ""


@pytest.mark.parametrize("minutes", [(0,), (0, 1, 2)], ids=["one", "a bout"])
@pytest.mark.parametrize(
    "marks", [("before",), ("after",), ("before", "after"), ("after", "before", "before")], ids="-".join
)
def test_a_store_that_fails_at_marking_tells_nobody_twice(
    marks: tuple[str, ...], minutes: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Writes that failed after a message went out, done or not, are tried again: one message, no alarm, all sent."""
    documents, sender, clock = FailingMarks(*marks), RecordingSender(), Clock()
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


def test_one_marked_entry_is_enough(caplog: pytest.LogCaptureFixture) -> None:
    """An entry that can never be marked does not make its message go out again: another of the same is marked."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    tell(documents, map(heard, (0, 1, 2)), MODERATORS, clock=clock)
    stubborn = entries(documents)[0].id

    def replace(container: Container, body: Json, *, etag: str) -> str:
        if body["id"] == stubborn and body["state"] == "sent":
            raise StorageError("status 503")
        return MemoryDocuments.replace(documents, container, body, etag=etag)

    documents.replace = replace  # type: ignore[method-assign]  # fails for one entry alone
    for _ in range(3):
        deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, pause=lambda _: None)
        clock.advance(3600)

    assert len(sender.sent) == 1
    assert [entry.state for entry in entries(documents)] == ["waiting", "sent", "sent"]
    assert "told again" not in caplog.text


def test_a_message_that_can_never_be_marked_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """With every try failed an error says that people may be told again; then they are, once, with the same key."""
    documents, sender, clock = FailingMarks(*["before"] * 4), RecordingSender(), Clock()
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


def test_a_mark_that_cannot_be_read_back_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """The mark was written, its answer lost, and the reading back fails too: what is stored stands, one message."""
    documents, sender, clock = FailingMarks("after"), RecordingSender(), Clock()
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


def test_a_mark_overwrites_nobody_who_took_over(caplog: pytest.LogCaptureFixture) -> None:
    """An entry that another sender claimed while the message went out is left to it, however often it is tried."""
    documents, clock = MemoryDocuments(), Clock()

    class Overtaken(RecordingSender):
        def send(self, channel: Channel, notice: Notice) -> None:
            super().send(channel, notice)
            (entry,) = entries(documents)
            stored = documents.get(OUTBOX, entry.channel_id, entry.id)
            assert stored is not None
            documents.replace(OUTBOX, {**stored.body, "attempts": 2}, etag=stored.etag)

    tell(documents, [heard(0)], MODERATORS, clock=clock)
    deliver_due(documents, [MODERATORS], Overtaken(), policy=POLICY, now=clock, pause=lambda _: None)

    (entry,) = entries(documents)
    assert (entry.state, entry.attempts) == ("waiting", 2)
    assert "people may be told again" in caplog.text


def test_a_link_that_cannot_be_signed_silences_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Without a signer the message goes out with the stored addresses, and one warning says so."""
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    detections = [heard(minute) | {"audioUri": "https://private/1.flac"} for minute in (0, 1)]
    tell(documents, detections, MODERATORS, clock=clock)

    def link(blob: str) -> str:
        raise StorageError(f"no key to sign {blob} with")

    assert deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, link=link) == Delivered(sent=1)
    assert [one["audioUri"] for one in sender.sent[0][1].detections] == ["https://private/1.flac"] * 2
    assert {entry.state for entry in entries(documents)} == {"sent"}
    assert len([record for record in caplog.records if "without links" in record.getMessage()]) == 1


class Meddling(RecordingSender):
    """While it sends, time passes and another sender has its turn."""

    def __init__(self, other: Callable[[], object], clock: Clock, seconds: float) -> None:
        super().__init__()
        self._other = other
        self._clock = clock
        self._seconds = seconds

    def send(self, channel: Channel, notice: Notice) -> None:
        """See `Sender.send`."""
        self._clock.advance(self._seconds)
        self._other()
        super().send(channel, notice)


def test_the_lease_lasts_for_the_sending_however_long_a_link_took() -> None:
    """Links take most of the lease, or more; it is renewed before the message goes out, and no second sender sends."""
    for signing_s in (POLICY.lease_s - 1, 2 * POLICY.lease_s):
        documents, clock, second = MemoryDocuments(), Clock(), RecordingSender()
        tell(documents, [heard(0)], MODERATORS, clock=clock)

        def link(blob: str, seconds: float = signing_s, clock: Clock = clock) -> str:
            if blob.endswith(".flac"):
                clock.advance(seconds)
            return blob

        def other(documents: MemoryDocuments = documents, clock: Clock = clock, to: RecordingSender = second) -> None:
            deliver(documents, to, MODERATORS, clock=clock)

        first = Meddling(other, clock, POLICY.lease_s - 1)
        deliver_due(documents, [MODERATORS], first, policy=POLICY, now=clock, link=link)
        other()

        assert (len(first.sent), len(second.sent)) == (1, 0)
        assert [entry.state for entry in entries(documents)] == ["sent"]


def test_who_lost_the_lease_while_claiming_sends_nothing() -> None:
    """A claim that was written after the lease had ended is left to the sender that holds it now: one message."""
    clock, first, second = Clock(), RecordingSender(), RecordingSender()

    class SlowClaims(MemoryDocuments):
        slow = True

        def replace(self, container: Container, body: Json, *, etag: str) -> str:
            written = super().replace(container, body, etag=etag)
            if self.slow and body.get("notice_id"):
                self.slow = False
                clock.advance(POLICY.lease_s)
                deliver(self, second, MODERATORS, clock=clock)
            return written

    documents = SlowClaims()
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    assert deliver(documents, first, MODERATORS, clock=clock) == Delivered()

    assert (len(first.sent), len(second.sent)) == (0, 1)
    assert [entry.state for entry in entries(documents)] == ["sent"]
