"""The stage: from a result to documents and the outbox."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.documents import CLIPS, CONTAINERS, DETECTIONS, GAPS, OUTBOX, SENT, ClipResult
from shared.errors import BlobNotFound, ConflictError, MessageError, StorageError
from shared.recording.channels import Channel
from shared.recording.detections import Verdict
from shared.recording.notify import NoticePolicy
from shared.recording.outbox import deliver_due
from shared.recording.record import Recorded, moderate, plan_confirmed, record_result
from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.ports import Container, DocumentStore, Json
from shared.telemetry import metrics
from tests.memory_blobs import MemoryBlobs
from tests.recording.fakes import (
    HYDROPHONES,
    LAB,
    NOON,
    Clock,
    Crash,
    MemoryDocuments,
    RecordingSender,
    blobs_of,
    make_result,
)

POLICY = NoticePolicy()
CHANNELS = (
    Channel.of("json://hooks.example/m", "moderators", name="mods"),
    Channel.of("json://hooks.example/n", "moderators", name="night"),
    Channel.of("mailto://u:p@mail.example", "subscribers", name="subs"),
    Channel.of("orcasite://:key@orcasite.example", "orcasite", name="orcasite"),
)


def record(
    name: str, blobs: MemoryBlobs | FolderBlobs, documents: DocumentStore, clock: Clock | None = None
) -> Recorded:
    """Record one result with the collaborators of these tests."""
    return record_result(
        name,
        blobs=blobs,
        documents=documents,
        hydrophones=HYDROPHONES,
        channels=CHANNELS,
        policy=POLICY,
        now=clock or Clock(),
    )


def say(documents: DocumentStore, result: ClipResult, found: str, clock: Clock | None = None) -> Json | None:
    """A moderator's verdict."""
    return moderate(
        documents,
        result.hydrophone_id,
        result.detection_id,
        Verdict(found, "Ann"),
        channels=CHANNELS,
        policy=POLICY,
        now=clock or Clock(),
    )


def entries(documents: DocumentStore) -> list[Json]:
    """The outbox without leases and the bookmark."""
    return [stored.body for stored in documents.query(OUTBOX) if "detection_id" in stored.body]


def confirmed(name: str, **fields: object) -> Json:
    """A detection that another tool has written, with a moderator's yes of a minute ago."""
    return {
        "id": name,
        "source_guid": LAB.id,
        "timestamp": "2026-03-20T18:50:00Z",
        "reviewed": True,
        "SRKWFound": "yes",
        "dateModerated": "2026-03-20T18:59:00Z",
        **fields,
    }


def test_a_detection_is_recorded_with_all_that_belongs_to_it() -> None:
    """One result leaves its gap, clip, detection and an entry per moderator channel, and none for subscribers yet."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    documents = MemoryDocuments()

    recorded = record(name, blobs, documents)

    assert recorded == Recorded(result.clip_id, result.detection_id, 1, new_detection=True, new_entries=2)
    assert sorted(documents.snapshot()) == sorted(
        [
            ("gaps", LAB.id, result.gaps[0].id),
            ("clips", LAB.id, result.clip_id),
            ("metadata", LAB.id, result.detection_id),
            ("outbox", "mods", f"mods:{result.detection_id}"),
            ("outbox", "night", f"night:{result.detection_id}"),
        ]
    )
    detection = documents.get(DETECTIONS, LAB.id, result.detection_id)
    assert detection is not None
    assert detection.body["audioUri"] == "https://blobs.example/detections/one.flac"


def test_a_quiet_minute_leaves_a_clip_and_its_gaps_only() -> None:
    """Without a detection there is nobody to tell."""
    result = make_result(detected=False, confidence=0.1, positive_windows=())
    blobs, (name,) = blobs_of([result])
    documents = MemoryDocuments()

    assert record(name, blobs, documents).detection_id is None
    assert {container for container, _, _ in documents.snapshot()} == {GAPS.name, CLIPS.name}


def test_a_result_that_is_missing_or_broken_is_a_clear_error() -> None:
    """A missing blob and a malformed one raise what the caller can tell apart, and neither writes anything."""
    documents = MemoryDocuments()
    with pytest.raises(BlobNotFound):
        record("results/none.json", MemoryBlobs(), documents)
    with pytest.raises(MessageError, match=r"results/bad\.json is not a valid ClipResult"):
        record("results/bad.json", MemoryBlobs({"results/bad.json": b"{"}), documents)

    assert documents.writes == 0


def test_an_unknown_hydrophone_and_an_unkept_clip_are_recorded_all_the_same() -> None:
    """A hydrophone no longer listed and a clip there was no room for still make a detection people hear of."""
    result = make_result(hydrophone_id="gone", audio_blob=None, image_blob=None, not_kept_because="disk full")
    blobs, (name,) = blobs_of([result])
    documents, sender = MemoryDocuments(), RecordingSender()

    record(name, blobs, documents)
    deliver_due(documents, CHANNELS, sender, policy=POLICY, now=Clock())

    detection = documents.get(DETECTIONS, "gone", result.detection_id)
    assert detection is not None
    assert (detection.body["location"]["name"], detection.body["audioUri"]) == ("gone", "")
    assert "audio:     not kept" in sender.sent[0][1].body


def test_recording_everything_twice_changes_nothing() -> None:
    """A repeated result, even after its verdict and its messages, changes no document and tells nobody again."""
    results = [make_result(NOON - timedelta(minutes=m), detected=m != 1) for m in range(4)]
    blobs, names = blobs_of(results)
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
    for name in names:
        record(name, blobs, documents, clock)
    say(documents, results[0], "yes", clock)
    deliver_due(documents, CHANNELS, sender, policy=POLICY, now=clock)
    before, sent = documents.snapshot(), len(sender.sent)

    clock.advance(7200)
    for name in names:
        assert record(name, blobs, documents, clock).new_entries == 0
    deliver_due(documents, CHANNELS, sender, policy=POLICY, now=clock)

    assert documents.snapshot() == before
    assert len(sender.sent) == sent


def test_a_crash_at_any_write_is_healed_by_recording_again() -> None:
    """Killed at every write in turn, recording the same result again ends in the very documents of an unbroken run."""
    blobs, (name,) = blobs_of([make_result()])
    unbroken = MemoryDocuments()
    record(name, blobs, unbroken)
    assert unbroken.writes == 5

    for crash_at in range(1, unbroken.writes + 1):
        documents = MemoryDocuments()
        documents.crash_at = crash_at
        with pytest.raises(Crash):
            record(name, blobs, documents)
        documents.crash_at = None
        record(name, blobs, documents)

        assert documents.snapshot() == unbroken.snapshot()


def test_a_clip_scored_again_has_a_newer_record() -> None:
    """A second model's result of the same minute brings the clip up to date and is a detection of its own."""
    documents = MemoryDocuments()
    for version in ("haro-small-1", "haro-small-2"):
        blobs, (name,) = blobs_of([make_result(model_version=version)])
        record(name, blobs, documents)

    (clip,) = documents.query(CLIPS)
    assert clip.body["model_version"] == "haro-small-2"
    assert len(documents.query(DETECTIONS)) == 2


def test_only_the_first_record_of_a_clip_says_how_late_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded again, as upkeep does long after with the batch on its way anew, a result adds nothing to the lag."""
    noted: list[datetime] = []
    monkeypatch.setattr(metrics, "clip_recorded", lambda _, now: noted.append(now))
    batch = {"hydrophone_id": LAB.id, "sent_utc": "2026-03-20T19:00:00Z"}
    result = make_result()
    newer = make_result(model_version="haro-small-2")
    documents, clock = MemoryDocuments(), Clock()
    for one in (result, result, newer):
        blobs, (name,) = blobs_of([one])
        documents.create(SENT, {"id": result.clip_id, **batch})
        record(name, blobs, documents, clock)
        assert documents.query(SENT) == []
        clock.advance(86400)

    assert noted == [NOON]


def test_a_backfill_of_past_years_pages_nobody() -> None:
    """Old audio scored now makes detections whose entries are suppressed, with the reason."""
    blobs, (name,) = blobs_of([make_result(NOON - timedelta(days=2000), origin="backfill")])
    documents, sender = MemoryDocuments(), RecordingSender()

    record(name, blobs, documents)
    deliver_due(documents, CHANNELS, sender, policy=POLICY, now=Clock())

    assert sender.sent == []
    assert {s.body["suppressed_because"] for s in documents.query(OUTBOX)} == {"a backfill of past audio pages nobody"}


def test_a_verdict_survives_recording_and_reaches_subscribers_once() -> None:
    """A yes plans subscribers and Orcasite; said again it plans nobody anew; a repeated result leaves it standing."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
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


def test_a_no_tells_no_subscriber() -> None:
    """Only a yes plans anything beyond the moderators."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    documents = MemoryDocuments()
    record(name, blobs, documents)
    say(documents, result, "don't know")

    assert {s.body["audience"] for s in documents.query(OUTBOX)} == {"moderators"}


def test_a_verdict_on_nothing_is_none() -> None:
    """Moderating a detection that does not exist says so by returning None."""
    assert say(MemoryDocuments(), make_result(), "yes") is None


def test_two_moderators_at_once_both_write() -> None:
    """A verdict that meets a change in between is written on top of it; one that never gets through is a conflict."""
    result = make_result()
    blobs, (name,) = blobs_of([result])

    class Contended(MemoryDocuments):
        conflicts = 0

        def replace(self, container: Container, body: Json, *, etag: str) -> str:
            if container == DETECTIONS and self.conflicts:
                self.conflicts -= 1
                raise ConflictError("somebody else was first")
            return super().replace(container, body, etag=etag)

    documents = Contended()
    record(name, blobs, documents)
    documents.conflicts = 2
    body = say(documents, result, "yes")
    assert body is not None
    assert documents.get(DETECTIONS, LAB.id, result.detection_id).body == body  # type: ignore[union-attr]  # it is there

    documents.conflicts = 1000
    with pytest.raises(ConflictError, match="try again"):
        say(documents, result, "no")


def test_verdicts_written_by_other_tools_reach_subscribers_too() -> None:
    """A yes that OrcaHello's own tools wrote lately is planned by the sweep, once: an old call for Orcasite alone."""
    results = [make_result(), make_result(NOON - timedelta(days=3))]
    blobs, names = blobs_of(results)
    documents, clock = MemoryDocuments(), Clock()
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


def test_a_verdict_of_long_ago_is_no_news() -> None:
    """What was confirmed more than a day before anybody looked is told to nobody."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    documents = MemoryDocuments()
    record(name, blobs, documents)
    say(documents, result, "yes", Clock(NOON - timedelta(days=2)))
    for channel in ("subs", "orcasite"):
        documents.delete(OUTBOX, channel, f"{channel}:{result.detection_id}")

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 0


def test_verdicts_given_during_an_outage_are_not_lost() -> None:
    """A verdict of another tool that is read three days late reaches Orcasite; subscribers are spared so old a call."""
    documents, clock = MemoryDocuments(), Clock()
    documents.create(DETECTIONS, confirmed("seen"))
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    documents.create(DETECTIONS, confirmed("missed"))
    clock.advance(3 * 86400)

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    states = {entry["id"]: entry["state"] for entry in entries(documents) if entry["detection_id"] == "missed"}
    assert states == {"subs:missed": "suppressed", "orcasite:missed": "waiting"}


def test_the_verdicts_of_years_are_no_news_however_long_their_reading_takes() -> None:
    """Old verdicts reach nobody: on no page of the first reading, when it breaks off, nor when one is edited later."""
    documents, clock = MemoryDocuments(), Clock()
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
def test_an_orcasite_added_later_gets_what_is_confirmed_from_then_on(before: tuple[Channel, ...]) -> None:
    """A new channel is not flooded with what was confirmed before it was there, and misses nothing after."""
    documents, clock = MemoryDocuments(), Clock()
    documents.create(DETECTIONS, confirmed("before"))
    plan_confirmed(documents, before, policy=POLICY, now=clock)
    clock.advance(3 * 86400)
    plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)
    documents.create(DETECTIONS, confirmed("after", dateModerated="2026-03-23T19:00:00Z"))
    plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)

    told = [entry["detection_id"] for entry in entries(documents) if entry["audience"] == "orcasite"]
    assert told == ["after"]


def test_a_document_that_does_not_say_when_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A confirmed document of another tool that makes no sense is named in the log, and the next one is planned."""
    documents, clock = MemoryDocuments(), Clock()
    documents.create(DETECTIONS, confirmed("timeless", timestamp=None))
    documents.create(DETECTIONS, confirmed("odd", haro="a word"))
    documents.create(DETECTIONS, confirmed("told"))

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    assert {entry["detection_id"] for entry in entries(documents)} == {"told"}
    assert "timeless" in caplog.text
    assert "odd" in caplog.text


def test_what_was_looked_at_is_not_looked_at_again() -> None:
    """With nothing new a run reads the changes once and writes nothing; of later verdicts it reads only those."""
    documents, clock = MemoryDocuments(), Clock()
    for n in range(5):
        documents.create(DETECTIONS, confirmed(f"d{n}"))
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 10

    writes, documents.changes_read = documents.writes, 0
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 0
    assert (documents.writes, documents.changes_read) == (writes, 1)

    documents.create(DETECTIONS, confirmed("later"))
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock) == 2
    assert (documents.writes, documents.changes_read) == (writes + 4, 2)


def test_a_crash_at_any_write_of_planning_is_healed_by_the_next_run() -> None:
    """Killed at every write in turn, bookmark included, the next run ends in the very documents of an unbroken one."""

    def confirmations() -> MemoryDocuments:
        documents = MemoryDocuments()
        for n in range(3):
            documents.create(DETECTIONS, confirmed(f"d{n}"))
        return documents

    unbroken = confirmations()
    plan_confirmed(unbroken, CHANNELS, policy=POLICY, now=Clock())
    for crash_at in range(4, unbroken.writes + 1):
        documents = confirmations()
        documents.crash_at = crash_at
        with pytest.raises(Crash):
            plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock())
        documents.crash_at = None
        plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock())
        assert documents.snapshot().keys() == unbroken.snapshot().keys()
        assert len(entries(documents)) == 6


def test_a_failing_store_moves_no_bookmark() -> None:
    """When an entry cannot be written the page is read again at the next run, and nobody is left out."""

    class Failing(MemoryDocuments):
        broken = True

        def create(self, container: Container, body: Json) -> bool:
            if self.broken and container == OUTBOX:
                raise StorageError("the store is away")
            return super().create(container, body)

    documents = Failing()
    documents.create(DETECTIONS, confirmed("told"))
    with pytest.raises(StorageError):
        plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock())
    documents.broken = False
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 2


def test_a_detection_that_no_outbox_takes_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """A document of somebody else, whose id leaves no room for the channel's, is named once and passed over."""
    documents = MemoryDocuments()
    for name in ("x" * 255, "told"):
        documents.create(DETECTIONS, confirmed(name))

    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 2
    assert plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock()) == 0
    assert {entry["detection_id"] for entry in entries(documents)} == {"told"}
    assert caplog.text.count("nobody is told: ") == 1


def test_of_two_that_plan_at_once_one_reads_on() -> None:
    """Who finds the bookmark moved by another stops there; every entry is planned, once."""
    documents = MemoryDocuments()
    for n in range(6):
        documents.create(DETECTIONS, confirmed(f"d{n}"))

    class Overtaken(MemoryDocuments):
        """Another process runs to the end while this one is at its first page."""

        overtaken = False

        def __init__(self) -> None:
            super().__init__()
            self.bodies, self.writes = documents.bodies, documents.writes

        def create(self, container: Container, body: Json) -> bool:
            if not self.overtaken:
                self.overtaken = True
                plan_confirmed(documents, CHANNELS, policy=POLICY, now=Clock())
            return super().create(container, body)

    slow = Overtaken()
    assert plan_confirmed(slow, CHANNELS, policy=POLICY, now=Clock()) == 0
    assert slow.changes_read == 1
    assert len(entries(documents)) == 12


def test_a_container_made_anew_is_looked_through_from_the_start(caplog: pytest.LogCaptureFixture) -> None:
    """A bookmark whose mark is not known any more is said aloud and replaced, and nobody is told twice, or of old."""
    documents, clock = MemoryDocuments(), Clock()
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


def test_a_yes_taken_back_and_given_again_is_told_once() -> None:
    """Yes, no and yes again: what was suppressed in between is told after all, and a further yes tells nobody anew."""
    result = make_result()
    blobs, (name,) = blobs_of([result])
    documents, sender, clock = MemoryDocuments(), RecordingSender(), Clock()
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


def test_the_stage_works_on_the_stores_of_a_station(tmp_path: Path) -> None:
    """On SQLite and a folder: recorded, confirmed, told, repeated without a difference."""
    clock = Clock()
    result = make_result()
    sender = RecordingSender()
    blobs = FolderBlobs(tmp_path / "blobs", min_free_bytes=0)
    _, (name,) = blobs_of([result])
    blobs.put(name, result.model_dump_json().encode())
    with Database(tmp_path / "haro.db") as database:
        documents = SqliteDocuments(database, CONTAINERS, now=clock)
        for _ in range(2):
            record(name, blobs, documents, clock)
            say(documents, result, "yes", clock)
            plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)
            deliver_due(documents, CHANNELS, sender, policy=POLICY, now=clock)
            clock.advance(3600)
        states = {entry["state"] for entry in entries(documents)}

    assert sorted(channel.id for channel, _ in sender.sent) == ["mods", "night", "orcasite", "subs"]
    assert states == {"sent"}
    assert datetime.fromisoformat(sender.sent[0][1].detections[0]["haro"]["start_utc"]) == NOON
