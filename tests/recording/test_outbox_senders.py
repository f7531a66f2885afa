"""The outbox with two senders at once: one sends, and whoever lost the lease writes nothing over the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.documents import OUTBOX
from shared.recording.channels import Channel, Notice
from shared.recording.outbox import Delivered, deliver_due
from shared.storage.local.database import Database
from shared.storage.ports import Container, Json
from tests.crashing_documents import Crash, CrashingDocuments
from tests.recording.fakes import Clock, RecordingSender
from tests.recording.outbox import MODERATORS, POLICY, deliver, entries, heard, tell


def test_two_deliverers_do_not_both_send(documents: CrashingDocuments) -> None:
    """While one sender is at work a second one leaves its channel alone, and goes on when the first has died."""
    clock = Clock()
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


def test_an_overrun_lease_costs_no_double_marking(documents: CrashingDocuments) -> None:
    """A sender that hung beyond its lease finds the entry changed and writes nothing over the one who took over."""
    clock = Clock()
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


def test_a_mark_overwrites_nobody_who_took_over(documents: CrashingDocuments, caplog: pytest.LogCaptureFixture) -> None:
    """An entry that another sender claimed while the message went out is left to it, however often it is tried."""
    clock = Clock()

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


@pytest.mark.parametrize("signing_s", [POLICY.lease_s - 1, 2 * POLICY.lease_s])
def test_the_lease_lasts_for_the_sending_however_long_a_link_took(
    documents: CrashingDocuments, signing_s: float
) -> None:
    """Links take most of the lease, or more; it is renewed before the message goes out, and no second sender sends."""
    clock, second = Clock(), RecordingSender()
    tell(documents, [heard(0)], MODERATORS, clock=clock)

    def link(blob: str) -> str:
        if blob.endswith(".flac"):
            clock.advance(signing_s)
        return blob

    def other() -> None:
        deliver(documents, second, MODERATORS, clock=clock)

    first = Meddling(other, clock, POLICY.lease_s - 1)
    deliver_due(documents, [MODERATORS], first, policy=POLICY, now=clock, link=link)
    other()

    assert (len(first.sent), len(second.sent)) == (1, 0)
    assert [entry.state for entry in entries(documents)] == ["sent"]


def test_who_hangs_while_claiming_adds_nothing_to_a_message_that_went_out(database: Database) -> None:
    """Two of three were claimed when the lease ended, and another sends those: the third is told in another message."""
    clock, first, second = Clock(), RecordingSender(), RecordingSender()

    class HangsAtTheSecondClaim(CrashingDocuments):
        claims = 0

        def replace(self, container: Container, body: Json, *, etag: str) -> str:
            written = super().replace(container, body, etag=etag)
            self.claims += bool(body.get("notice_id"))
            if self.claims == 2:
                self.claims += 1
                clock.advance(POLICY.lease_s)
                deliver(self, second, MODERATORS, clock=clock)
            return written

    documents = HangsAtTheSecondClaim(database)
    detections = [heard(minute) for minute in (0, 1, 2)]
    tell(documents, detections, MODERATORS, clock=clock)
    deliver(documents, first, MODERATORS, clock=clock)
    assert [len(second.sent), len(first.sent)] == [1, 0]

    clock.advance(POLICY.moderators_every_s)
    deliver(documents, second, MODERATORS, clock=clock)

    assert second.told(MODERATORS) == [one["id"] for one in detections]
    assert {entry.state for entry in entries(documents)} == {"sent"}


def test_who_lost_the_lease_while_claiming_sends_nothing(database: Database) -> None:
    """A claim that was written after the lease had ended is left to the sender that holds it now: one message."""
    clock, first, second = Clock(), RecordingSender(), RecordingSender()

    class SlowClaims(CrashingDocuments):
        slow = True

        def replace(self, container: Container, body: Json, *, etag: str) -> str:
            written = super().replace(container, body, etag=etag)
            if self.slow and body.get("notice_id"):
                self.slow = False
                clock.advance(POLICY.lease_s)
                deliver(self, second, MODERATORS, clock=clock)
            return written

    documents = SlowClaims(database)
    tell(documents, [heard(0)], MODERATORS, clock=clock)
    assert deliver(documents, first, MODERATORS, clock=clock) == Delivered()

    assert (len(first.sent), len(second.sent)) == (0, 1)
    assert [entry.state for entry in entries(documents)] == ["sent"]
