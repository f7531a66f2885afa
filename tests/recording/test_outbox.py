"""The outbox: who is told what, and when."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import DETECTIONS, OutboxEntry
from shared.errors import StorageError
from shared.recording.channels import Channel, Notice
from shared.recording.outbox import Delivered, deliver_due
from tests.crashing_documents import CrashingDocuments, open_documents
from tests.recording.fakes import LAB, NOON, Clock, RecordingSender
from tests.recording.outbox import MODERATORS, POLICY, SUBSCRIBERS, deliver, entries, heard, tell


def test_a_bout_is_told_at_once_and_then_together(documents: CrashingDocuments) -> None:
    """Five detections of one bout make two messages: the first at once, four more after the interval, then none."""
    sender, clock = RecordingSender(), Clock()
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


def test_a_message_that_waited_for_days_unsent_is_still_tried_once(documents: CrashingDocuments) -> None:
    """A laptop that slept for two days after hearing orcas still tells its moderators."""
    sender, clock = RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    clock.advance(2 * 86400)

    assert deliver(documents, sender, MODERATORS, clock=clock) == Delivered(sent=1)


def test_a_withdrawn_verdict_is_not_told(documents: CrashingDocuments) -> None:
    """A yes that became a no before the message went out tells subscribers nothing, and the entry says why."""
    sender, clock = RecordingSender(), Clock()
    tell(documents, [heard(0, confirmed=False), heard(20)], SUBSCRIBERS, clock=clock)
    deliver(documents, sender, SUBSCRIBERS, clock=clock)

    assert sender.told(SUBSCRIBERS) == [heard(20)["id"]]
    assert [(e.state, e.suppressed_because) for e in entries(documents)] == [
        ("suppressed", "no longer confirmed"),
        ("sent", ""),
    ]


def test_subscribers_hear_nothing_old_however_long_delivery_was_tried(documents: CrashingDocuments) -> None:
    """A message that was refused until its call was more than a day old is suppressed, though it was begun."""
    sender, clock = RecordingSender(failures=1), Clock(NOON + timedelta(hours=23))
    tell(documents, [heard(0)], SUBSCRIBERS, clock=clock)
    assert deliver(documents, sender, SUBSCRIBERS, clock=clock) == Delivered(failed=1)
    clock.advance(2 * 3600)

    assert deliver(documents, sender, SUBSCRIBERS, clock=clock) == Delivered(suppressed=1)
    assert sender.sent == []


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


def _play(events: list[tuple[int, str, int, bool]], channel: Channel) -> tuple[list[OutboxEntry], Away, set[str]]:
    """The entries after all that, what was sent, and the detections that there were."""
    clock = Clock(NOON + timedelta(minutes=400))
    sender = Away(clock)
    expected = set()
    with open_documents() as documents:
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
        return entries(documents), sender, expected


@settings(max_examples=60)
@given(st.lists(event, max_size=12))
def test_moderators_are_told_every_detection_exactly_once(events: list[tuple[int, str, int, bool]]) -> None:
    """In any order, with any failures, each detection is in exactly one message that arrived, grouped or not."""
    final, sender, expected = _play(events, MODERATORS)

    assert Counter(sender.told(MODERATORS)) == dict.fromkeys(expected, 1)
    assert {entry.state for entry in final} <= {"sent"}


@settings(max_examples=60)
@given(st.lists(event, max_size=12))
def test_subscribers_get_one_message_in_a_quarter_of_an_hour(events: list[tuple[int, str, int, bool]]) -> None:
    """Two messages on a hydrophone are 15 minutes apart or more; each detection is told once or suppressed."""
    final, sender, expected = _play(events, SUBSCRIBERS)

    for hydrophone_id in (LAB.id, "rpi_bush_point"):
        times = [moment for moment, where, _ in sender.times if where == hydrophone_id]
        assert all(after - before >= timedelta(minutes=15) for before, after in pairwise(times))
    told = Counter(sender.told(SUBSCRIBERS))
    assert set(told.values()) <= {1}
    suppressed = {entry.detection_id for entry in final if entry.suppressed_because}
    assert set(told) | suppressed == expected
    assert not set(told) & suppressed


def test_people_get_links_they_can_open(documents: CrashingDocuments) -> None:
    """What is sent carries links; what is stored keeps the lasting addresses."""
    sender, clock = RecordingSender(), Clock()
    tell(documents, [heard(0)], MODERATORS, clock=clock)

    deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, link="https://open/{}".format)

    ((_, notice),) = sender.sent
    assert notice.detections[0]["audioUri"] == "https://open/detections/one.flac"
    assert "https://open/detections/one.flac" in notice.body
    stored = documents.get(DETECTIONS, LAB.id, heard(0)["id"])
    assert stored is not None
    assert stored.body["audioUri"] == ""


def test_a_link_that_cannot_be_signed_silences_nobody(
    documents: CrashingDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a signer the message goes out with the stored addresses, and one warning says so."""
    sender, clock = RecordingSender(), Clock()
    detections = [heard(minute) | {"audioUri": "https://private/1.flac"} for minute in (0, 1)]
    tell(documents, detections, MODERATORS, clock=clock)

    def link(blob: str) -> str:
        raise StorageError(f"no key to sign {blob} with")

    assert deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, link=link) == Delivered(sent=1)
    assert [one["audioUri"] for one in sender.sent[0][1].detections] == ["https://private/1.flac"] * 2
    assert {entry.state for entry in entries(documents)} == {"sent"}
    assert len([record for record in caplog.records if "without links" in record.getMessage()]) == 1


def test_a_round_sends_so_many_messages_to_each_channel_and_the_next_rounds_the_rest() -> None:
    """Of five messages for each of two channels two go out in a round, one after the other; without a limit, all."""
    night = replace(MODERATORS, id="night")
    detections = [heard(60 * n) for n in range(5)]

    def rounds(at_most: int | None) -> tuple[list[Delivered], RecordingSender]:
        sender, clock = RecordingSender(), Clock()
        both = [MODERATORS, night]
        with open_documents() as documents:
            tell(documents, detections, *both, clock=clock)
            done = [
                deliver_due(documents, both, sender, policy=POLICY, now=clock, at_most=at_most)
                for _ in range(4)  # at once: a round that stopped at its limit leaves the channels to the next
            ]
            assert {entry.state for entry in entries(documents)} == {"sent"}
        for channel in both:
            assert sorted(sender.told(channel)) == sorted(one["id"] for one in detections)
        return done, sender

    limited, sender = rounds(2)
    assert limited == [Delivered(sent=4), Delivered(sent=4), Delivered(sent=2), Delivered()]
    assert [to.id for to, _ in sender.sent[:4]] == [MODERATORS.id, MODERATORS.id, "night", "night"]
    assert rounds(None)[0] == [Delivered(sent=10), Delivered(), Delivered(), Delivered()]


@settings(max_examples=60)
@given(
    st.integers(1, 3),
    st.lists(st.sampled_from([*range(3), 60, 61, 120, 300]), unique=True),
    st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=8),
)
def test_a_limit_loses_nothing_and_repeats_nothing(
    at_most: int, minutes: list[int], refused: list[tuple[bool, int]]
) -> None:
    """However few go out in a round and whatever is refused, each detection is told once, never too many at a time."""
    clock = Clock(NOON + timedelta(minutes=300))
    sender = Away(clock)
    with open_documents() as documents:
        tell(documents, map(heard, minutes), MODERATORS, clock=clock)

        for away, pause in [*refused, *[(False, 60)] * 30]:
            sender.away = away
            sent = len(sender.sent)
            done = deliver_due(documents, [MODERATORS], sender, policy=POLICY, now=clock, at_most=at_most)
            assert len(sender.sent) - sent == done.sent <= at_most
            clock.advance(pause * 60)

        assert {entry.state for entry in entries(documents)} <= {"sent"}
    assert Counter(sender.told(MODERATORS)) == dict.fromkeys([heard(minute)["id"] for minute in minutes], 1)
