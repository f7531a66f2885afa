"""Verdicts that other tools wrote: each is found and told once, whenever it is looked for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.documents import DETECTIONS, OUTBOX
from shared.errors import StorageError
from shared.recording.channels import Channel
from shared.recording.confirmed import plan_confirmed
from shared.storage.local.database import Database
from shared.storage.ports import Container, Json
from tests.crashing_documents import Crash, CrashingDocuments, open_documents
from tests.recording.fakes import LAB, NOON, Clock, blobs_of, make_result
from tests.recording.stage import CHANNELS, POLICY, confirmed, entries, record, say


def test_verdicts_written_by_other_tools_reach_subscribers_too(documents: CrashingDocuments) -> None:
    """A yes that OrcaHello's own tools wrote lately is planned by the sweep, once: an old call for Orcasite alone."""
    results = [make_result(), make_result(NOON - timedelta(days=3))]
    blobs, names = blobs_of(results)
    clock = Clock()
    for name, result in zip(names, results, strict=True):
        record(name, blobs, documents)
        stored = documents.get(DETECTIONS, LAB.id, result.detection_id)
        assert stored is not None
        verdict = {"reviewed": True, "SRKWFound": "yes", "dateModerated": "2026-03-20T18:59:00Z"}
        documents.replace(DETECTIONS, {**stored.body, **verdict}, etag=stored.etag)

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 4
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 0
    new, old = (result.detection_id for result in results)
    states = {entry["id"]: entry["state"] for entry in entries(documents) if entry["audience"] != "moderators"}
    assert states == {
        f"subs:{new}": "waiting",
        f"subs:{old}": "suppressed",
        f"orcasite:{new}": "waiting",
        f"orcasite:{old}": "waiting",
    }
    assert plan_confirmed(documents, CHANNELS[:1], policy=POLICY, now=clock) == 0


def test_a_verdict_of_long_ago_is_no_news(documents: CrashingDocuments) -> None:
    """What was confirmed more than a day before anybody looked is told to nobody."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    record(name, blobs, documents)
    say(documents, result, "yes", Clock(NOON - timedelta(days=2)))
    for channel in ("subs", "orcasite"):
        documents.delete(OUTBOX, channel, f"{channel}:{result.detection_id}")

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 0


def test_verdicts_given_during_an_outage_are_not_lost(documents: CrashingDocuments) -> None:
    """A verdict of another tool that is read three days late reaches Orcasite; subscribers are spared so old a call."""
    clock = Clock()
    documents.create(DETECTIONS, confirmed("seen"))
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    documents.create(DETECTIONS, confirmed("missed"))
    clock.advance(3 * 86400)

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    states = {entry["id"]: entry["state"] for entry in entries(documents) if entry["detection_id"] == "missed"}
    assert states == {"subs:missed": "suppressed", "orcasite:missed": "waiting"}


def test_the_verdicts_of_years_are_no_news_however_long_their_reading_takes(documents: CrashingDocuments) -> None:
    """Old verdicts reach nobody: on no page of the first reading, when it breaks off, nor when one is edited later."""
    clock = Clock()
    years_ago = {"timestamp": "2021-03-20T18:50:00Z", "dateModerated": "2021-03-20T18:59:00Z"}
    for n in range(7):
        documents.create(DETECTIONS, confirmed(f"d{n}", **years_ago))
    documents.crash_at = documents.writes + 2
    with pytest.raises(Crash):
        plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)
    documents.crash_at = None
    assert documents.changes_read == 2, "it broke off at its second page"
    clock.advance(3 * 86400)
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 0

    stored = documents.get(DETECTIONS, LAB.id, "d3")
    assert stored is not None
    documents.replace(DETECTIONS, {**stored.body, "comments": "a fine call"}, etag=stored.etag)
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 0
    assert entries(documents) == []


@pytest.mark.parametrize("before", [CHANNELS[:1], CHANNELS[:3]], ids=["the first", "beside subscribers"])
def test_an_orcasite_added_later_gets_what_is_confirmed_from_then_on(
    documents: CrashingDocuments, before: tuple[Channel, ...]
) -> None:
    """A new channel is not flooded with what was confirmed before it was there, and misses nothing after."""
    clock = Clock()
    documents.create(DETECTIONS, confirmed("before"))
    plan_confirmed(documents, before, policy=POLICY, now=clock)
    clock.advance(3 * 86400)
    plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)
    documents.create(DETECTIONS, confirmed("after", dateModerated="2026-03-23T19:00:00Z"))
    plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)

    told = [entry["detection_id"] for entry in entries(documents) if entry["audience"] == "orcasite"]
    assert told == ["after"]


def test_a_document_that_does_not_say_when_costs_the_others_nothing(
    documents: CrashingDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    """A confirmed document of another tool that makes no sense is named in the log, and the next one is planned."""
    clock = Clock()
    documents.create(DETECTIONS, confirmed("timeless", timestamp=None))
    documents.create(DETECTIONS, confirmed("odd", haro="a word"))
    documents.create(DETECTIONS, confirmed("told"))

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    assert {entry["detection_id"] for entry in entries(documents)} == {"told"}
    assert "timeless" in caplog.text
    assert "odd" in caplog.text


def test_what_was_looked_at_is_not_looked_at_again(documents: CrashingDocuments) -> None:
    """With nothing new a run reads the changes once and writes nothing; of later verdicts it reads only those."""
    clock = Clock()
    for n in range(5):
        documents.create(DETECTIONS, confirmed(f"d{n}"))
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 10

    writes, documents.changes_read = documents.writes, 0
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 0
    assert (documents.writes, documents.changes_read) == (writes, 1)

    documents.create(DETECTIONS, confirmed("later"))
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    assert (documents.writes, documents.changes_read) == (writes + 4, 2)


def test_a_crash_at_any_write_of_planning_is_healed_by_the_next_run(documents: CrashingDocuments) -> None:
    """Killed at every write in turn, bookmark included, the next run ends in the very documents of an unbroken one."""
    detections = [confirmed(f"d{n}") for n in range(3)]
    for detection in detections:
        documents.create(DETECTIONS, detection)
    plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock())

    for crash_at in range(len(detections) + 1, documents.writes + 1):
        with open_documents() as killed:
            for detection in detections:
                killed.create(DETECTIONS, detection)
            killed.crash_at = crash_at
            with pytest.raises(Crash):
                plan_confirmed(killed, CHANNELS, policy=POLICY, now=Clock())
            killed.crash_at = None
            plan_confirmed(killed, CHANNELS, policy=POLICY, now=Clock())
            assert killed.snapshot().keys() == documents.snapshot().keys()
            assert len(entries(killed)) == 6


def test_a_failing_store_moves_no_bookmark(database: Database) -> None:
    """When an entry cannot be written the page is read again at the next run, and nobody is left out."""

    class Failing(CrashingDocuments):
        broken = True

        def create(self, container: Container, body: Json) -> bool:
            if self.broken and container == OUTBOX:
                raise StorageError("the store is away")
            return super().create(container, body)

    documents = Failing(database)
    documents.create(DETECTIONS, confirmed("told"))
    with pytest.raises(StorageError):
        plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock())
    documents.broken = False
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 2


def test_a_detection_that_no_outbox_takes_holds_up_nobody(
    documents: CrashingDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    """A document of somebody else, whose id leaves no room for the channel's, is named once and passed over."""
    for name in ("x" * 255, "told"):
        documents.create(DETECTIONS, confirmed(name))

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 2
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 0
    assert {entry["detection_id"] for entry in entries(documents)} == {"told"}
    assert caplog.text.count("nobody is told: ") == 1


def test_of_two_that_plan_at_once_one_reads_on(database: Database, documents: CrashingDocuments) -> None:
    """Who finds the bookmark moved by another stops there; every entry is planned, once."""
    for n in range(6):
        documents.create(DETECTIONS, confirmed(f"d{n}"))

    class Overtaken(CrashingDocuments):
        """Another process runs to the end while this one is at its first page."""

        overtaken = False

        def create(self, container: Container, body: Json) -> bool:
            if not self.overtaken:
                self.overtaken = True
                plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock())
            return super().create(container, body)

    slow = Overtaken(database)
    assert plan_confirmed(slow, CHANNELS, policy=POLICY, now=Clock()) == 0
    assert slow.changes_read == 1
    assert len(entries(documents)) == 12


def test_a_container_made_anew_is_looked_through_from_the_start(
    documents: CrashingDocuments, caplog: pytest.LogCaptureFixture
) -> None:
    """A bookmark whose mark is not known any more is said aloud and replaced, and nobody is told twice, or of old."""
    clock = Clock()
    documents.create(DETECTIONS, confirmed("told"))
    assert plan_confirmed(documents, CHANNELS[:3], policy=POLICY, now=clock) == 1
    stored = documents.get(OUTBOX, "bookmark", "bookmark")
    assert stored is not None
    documents.replace(OUTBOX, {**stored.body, "mark": "of another container"}, etag=stored.etag)

    clock.advance(3 * 86400)
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 0
    assert "from the first one" in caplog.text
    documents.create(DETECTIONS, confirmed("later", dateModerated="2026-03-23T19:00:00Z"))
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
