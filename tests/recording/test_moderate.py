"""A moderator's verdict: written once, told once, and never lost to another's."""

from __future__ import annotations

import pytest

from shared.documents import DETECTIONS, OUTBOX
from shared.errors import ConflictError
from shared.recording.confirmed import plan_confirmed
from shared.recording.outbox import deliver_due
from shared.storage.local.database import Database
from shared.storage.ports import Container, Json
from tests.crashing_documents import CrashingDocuments
from tests.recording.fakes import LAB, Clock, RecordingSender, blobs_of, make_result
from tests.recording.stage import CHANNELS, POLICY, record, say


def test_a_verdict_survives_recording_and_reaches_subscribers_once(documents: CrashingDocuments) -> None:
    """A yes plans subscribers and Orcasite; said again it plans nobody anew; a repeated result leaves it standing."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    sender, clock = RecordingSender(), Clock()
    record(name, blobs, documents)
    say(documents, result, "Yes", clock)
    say(documents, result, "yes", clock)
    record(name, blobs, documents)
    for _ in range(3):
        deliver_due(documents, CHANNELS, sender, policy=POLICY, now=clock)
        clock.advance(900)

    stored = documents.get(DETECTIONS, LAB.id, result.detection_id)
    assert stored is not None
    assert stored.body["SRKWFound"] == "yes"
    assert sorted(channel.id for channel, _ in sender.sent) == ["mods", "night", "orcasite", "subs"]


def test_a_no_tells_no_subscriber(documents: CrashingDocuments) -> None:
    """Only a yes plans anything beyond the moderators."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    record(name, blobs, documents)
    say(documents, result, "don't know")

    assert {s.body["audience"] for s in documents.query(OUTBOX)} == {"moderators"}


def test_a_verdict_on_nothing_is_none(documents: CrashingDocuments) -> None:
    """Moderating a detection that does not exist says so by returning None."""
    assert say(documents, make_result(), "yes") is None


def test_two_moderators_at_once_both_write(database: Database) -> None:
    """A verdict that meets a change in between is written on top of it; one that never gets through is a conflict."""
    result = make_result()
    blobs, (name,) = blobs_of([result])

    class Contended(CrashingDocuments):
        conflicts = 0

        def replace(self, container: Container, body: Json, *, etag: str) -> str:
            if container == DETECTIONS and self.conflicts:
                self.conflicts -= 1
                raise ConflictError("somebody else was first")
            return super().replace(container, body, etag=etag)

    documents = Contended(database)
    record(name, blobs, documents)
    documents.conflicts = 2
    body = say(documents, result, "yes")
    assert body is not None
    assert documents.get(DETECTIONS, LAB.id, result.detection_id).body == body  # type: ignore[union-attr]  # it is there

    documents.conflicts = 1000
    with pytest.raises(ConflictError, match="try again"):
        say(documents, result, "no")


def test_a_yes_taken_back_and_given_again_is_told_once(documents: CrashingDocuments) -> None:
    """Yes, no and yes again: what was suppressed in between is told after all, and a further yes tells nobody anew."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    sender, clock = RecordingSender(), Clock()
    record(name, blobs, documents)
    say(documents, result, "yes", clock)
    say(documents, result, "no", clock)
    deliver_due(documents, CHANNELS, sender, policy=POLICY, now=clock)
    assert sorted(channel.id for channel, _ in sender.sent) == ["mods", "night"]

    for _ in range(2):
        clock.advance(3600)
        say(documents, result, "yes", clock)
        plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)
        deliver_due(documents, CHANNELS, sender, policy=POLICY, now=clock)
    assert sorted(channel.id for channel, _ in sender.sent) == ["mods", "night", "orcasite", "subs"]
