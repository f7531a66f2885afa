"""The stage: from a result to documents and the outbox."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.documents import CLIPS, DETECTIONS, GAPS, OUTBOX, SENT
from shared.errors import BlobNotFound, MessageError
from shared.recording.confirmed import plan_confirmed
from shared.recording.outbox import deliver_due
from shared.recording.record import Recorded
from shared.storage.local.blobs import FolderBlobs
from shared.telemetry import metrics
from tests.crashing_documents import Crash, CrashingDocuments, open_documents
from tests.memory_blobs import MemoryBlobs
from tests.recording.fakes import LAB, NOON, Clock, RecordingSender, blobs_of, make_result
from tests.recording.stage import CHANNELS, POLICY, entries, record, say


def test_a_detection_is_recorded_with_all_that_belongs_to_it(documents: CrashingDocuments) -> None:
    """One result leaves its gap, clip, detection and an entry per moderator channel, and none for subscribers yet."""
    result = make_result()
    blobs, (name,) = blobs_of([result])

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


def test_a_quiet_minute_leaves_a_clip_and_its_gaps_only(documents: CrashingDocuments) -> None:
    """Without a detection there is nobody to tell."""
    result = make_result(detected=False, confidence=0.1, positive_windows=())
    blobs, (name,) = blobs_of([result])

    assert record(name, blobs, documents).detection_id is None
    assert {container for container, _, _ in documents.snapshot()} == {GAPS.name, CLIPS.name}


def test_a_result_that_is_missing_or_broken_is_a_clear_error(documents: CrashingDocuments) -> None:
    """A missing blob and a malformed one raise what the caller can tell apart, and neither writes anything."""
    with pytest.raises(BlobNotFound):
        record("results/none.json", MemoryBlobs(), documents)
    with pytest.raises(MessageError, match=r"results/bad\.json is not a valid ClipResult"):
        record("results/bad.json", MemoryBlobs({"results/bad.json": b"{"}), documents)

    assert documents.writes == 0


def test_an_unknown_hydrophone_and_an_unkept_clip_are_recorded_all_the_same(documents: CrashingDocuments) -> None:
    """A hydrophone no longer listed and a clip there was no room for still make a detection people hear of."""
    result = make_result(hydrophone_id="gone", audio_blob=None, image_blob=None, not_kept_because="disk full")
    blobs, (name,) = blobs_of([result])
    sender = RecordingSender()

    record(name, blobs, documents)
    deliver_due(documents, CHANNELS, sender, policy=POLICY, now=Clock())

    detection = documents.get(DETECTIONS, "gone", result.detection_id)
    assert detection is not None
    assert (detection.body["location"]["name"], detection.body["audioUri"]) == ("gone", "")
    assert "audio:     not kept" in sender.sent[0][1].body


def test_recording_everything_twice_changes_nothing(documents: CrashingDocuments) -> None:
    """A repeated result, even after its verdict and its messages, changes no document and tells nobody again."""
    results = [make_result(NOON - timedelta(minutes=m), detected=m != 1) for m in range(4)]
    blobs, names = blobs_of(results)
    sender, clock = RecordingSender(), Clock()
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


def test_a_crash_at_any_write_is_healed_by_recording_again(documents: CrashingDocuments) -> None:
    """Killed at every write in turn, recording the same result again ends in the very documents of an unbroken run."""
    blobs, (name,) = blobs_of([make_result()])
    record(name, blobs, documents)
    assert documents.writes == 6

    for crash_at in range(1, documents.writes + 1):
        with open_documents() as killed:
            killed.crash_at = crash_at
            with pytest.raises(Crash):
                record(name, blobs, killed)
            killed.crash_at = None
            record(name, blobs, killed)

            assert killed.snapshot() == documents.snapshot()


def test_a_clip_scored_again_has_a_newer_record(documents: CrashingDocuments) -> None:
    """A second model's result of the same minute brings the clip up to date and is a detection of its own."""
    for version in ("haro-small-1", "haro-small-2"):
        blobs, (name,) = blobs_of([make_result(model_version=version)])
        record(name, blobs, documents)

    (clip,) = documents.query(CLIPS)
    assert clip.body["model_version"] == "haro-small-2"
    assert len(documents.query(DETECTIONS)) == 2


def test_only_the_first_record_of_a_clip_says_how_late_it_is(
    documents: CrashingDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded again, as upkeep does long after with the batch on its way anew, a result adds nothing to the lag."""
    noted: list[datetime] = []
    monkeypatch.setattr(metrics, "clip_recorded", lambda _, now: noted.append(now))
    batch = {"hydrophone_id": LAB.id, "sent_utc": "2026-03-20T19:00:00Z"}
    result = make_result()
    newer = make_result(model_version="haro-small-2")
    clock = Clock()
    for one in (result, result, newer):
        blobs, (name,) = blobs_of([one])
        documents.create(SENT, {"id": result.clip_id, **batch})
        record(name, blobs, documents, clock)
        assert documents.query(SENT) == []
        clock.advance(86400)

    assert noted == [NOON]


def test_a_backfill_of_past_years_pages_nobody(documents: CrashingDocuments) -> None:
    """Old audio scored now makes detections whose entries are suppressed, with the reason."""
    blobs, (name,) = blobs_of([make_result(NOON - timedelta(days=2000), origin="backfill")])
    sender = RecordingSender()

    record(name, blobs, documents)
    deliver_due(documents, CHANNELS, sender, policy=POLICY, now=Clock())

    assert sender.sent == []
    assert {s.body["suppressed_because"] for s in documents.query(OUTBOX)} == {"a backfill of past audio pages nobody"}


def test_the_stage_works_on_the_stores_of_a_station(documents: CrashingDocuments, tmp_path: Path) -> None:
    """On SQLite and a folder: recorded, confirmed, told, repeated without a difference."""
    clock, sender, result = Clock(), RecordingSender(), make_result()
    blobs = FolderBlobs(tmp_path / "blobs", min_free_bytes=0)
    _, (name,) = blobs_of([result])
    blobs.put(name, result.model_dump_json().encode())
    for _ in range(2):
        record(name, blobs, documents, clock)
        say(documents, result, "yes", clock)
        plan_confirmed(documents, CHANNELS, policy=POLICY, now=clock)
        deliver_due(documents, CHANNELS, sender, policy=POLICY, now=clock)
        clock.advance(3600)

    assert sorted(channel.id for channel, _ in sender.sent) == ["mods", "night", "orcasite", "subs"]
    assert {entry["state"] for entry in entries(documents)} == {"sent"}
    assert datetime.fromisoformat(sender.sent[0][1].detections[0]["haro"]["start_utc"]) == NOON
