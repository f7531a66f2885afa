"""What passes between stages: derived ids, faithful JSON, and messages that say what is wrong with them."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.documents import (
    CONTAINERS,
    Backfill,
    ChannelLease,
    ClipRecord,
    ClipResult,
    Cursor,
    Document,
    Gap,
    OutboxEntry,
    Provenance,
    Segment,
    SegmentBatch,
    StreamHealth,
    WindowScore,
    clip_blob_name,
    result_blob_name,
)
from shared.errors import MessageError
from shared.storage.ports import Message, check_blob_name, check_message, document_keys

EPOCH = 1_773_990_017
START = datetime(2026, 3, 20, 7, 0, 19, tzinfo=UTC)

_names = st.from_regex(r"[a-z0-9][a-z0-9_\-]{0,62}", fullmatch=True)
_numbers = st.floats(-1e9, 1e9)
_shares = st.floats(0, 1)
_texts = st.text(max_size=20)
_zones = st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))
_times = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=_zones)  # noqa: DTZ001 - zones are drawn
_indices = st.integers(0, 999_999_999)
_epochs = st.integers(0, 99_999_999_999)


def _of(kind: type[Document], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **fields)


def _some(items: st.SearchStrategy[Any], *, at_least: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(items, min_size=at_least, max_size=3).map(tuple)


segments = _of(Segment, index=_indices, url=_texts, start_utc=_times, duration_s=st.floats(0.001, 1e4))
batches = _of(
    SegmentBatch, hydrophone_id=_names, epoch=_epochs, segments=_some(segments, at_least=1), offset_s=_numbers
)
gaps = _of(
    Gap,
    hydrophone_id=_names,
    epoch=_epochs,
    first_index=st.none() | _indices,
    last_index=st.none() | _indices,
    start_utc=_times,
    end_utc=_times,
)
windows = _of(WindowScore, start_s=_numbers, end_s=_numbers, score=_shares)
healths = _of(StreamHealth, level_dbfs=st.none() | _numbers, hum_ratio=st.none() | _shares)
provenances = _of(Provenance, offset_s=_numbers, first_pts_s=st.none() | _numbers)
results = _of(
    ClipResult,
    hydrophone_id=_names,
    start_utc=_times,
    duration_s=_numbers,
    threshold=_numbers,
    confidence=_shares,
    windows=_some(windows),
    decision_windows=_some(windows),
    health=healths,
    gaps=_some(gaps),
    provenance=provenances,
    timings_s=st.dictionaries(_texts, _numbers, max_size=3),
)
records = _of(
    ClipRecord,
    start_utc=_times,
    end_utc=_times,
    confidence=_numbers,
    max_score=_numbers,
    mean_score=_numbers,
    health=healths,
    gap_s=_numbers,
)
backfills = _of(Backfill, start_utc=_times, end_utc=_times)
cursors = _of(
    Cursor,
    hydrophone_id=_names,
    next_index=_indices,
    next_start_utc=_times,
    seen_utc=_times,
    stuck_since_utc=st.none() | _times,
    pending=_some(batches),
    pending_gaps=_some(gaps),
    pending_backfills=_some(backfills),
)
entries = _of(OutboxEntry, detection_utc=_times, created_utc=_times, due_utc=_times, sent_utc=st.none() | _times)
leases = _of(ChannelLease, until_utc=_times)
documents = st.one_of(batches, gaps, results, records, backfills, cursors, entries, leases)


def make_batch(**changes: Any) -> SegmentBatch:
    """Segments 6 to 11 of a folder, 10 s each."""
    segments = tuple(
        Segment(
            index=index,
            url=f"https://streams.example/test_bay/hls/{EPOCH}/live{index:03d}.ts",
            start_utc=START + timedelta(seconds=10 * index),
            duration_s=10.0,
        )
        for index in range(6, 12)
    )
    fields: dict[str, Any] = {
        "hydrophone_id": "test_bay",
        "epoch": EPOCH,
        "segments": segments,
        "offset_s": 2.0,
        "time_source": "folder_epoch",
    }
    return SegmentBatch(**fields | changes)


def make_result(**changes: Any) -> ClipResult:
    """The result of that batch."""
    fields: dict[str, Any] = {
        "batch_id": make_batch().id,
        "hydrophone_id": "test_bay",
        "origin": "live",
        "start_utc": START,
        "duration_s": 60.0,
        "sample_rate_hz": 48_000,
        "model_version": "haro-orca-1",
        "policy": "mean_top_k",
        "threshold": 0.6,
        "detected": False,
        "confidence": 0.1,
        "windows": (),
        "decision_windows": (),
        "positive_windows": (),
        "health": StreamHealth(state="online"),
        "gaps": (),
        "provenance": Provenance(
            epoch=EPOCH, first_index=6, last_index=11, segment_indices=(), offset_s=2.0, time_source="folder_epoch"
        ),
        "audio_blob": None,
        "image_blob": None,
        "timings_s": {},
    }
    return ClipResult(**fields | changes)


@given(documents)
def test_json_and_back_is_the_same(document: Document) -> None:
    """Every document survives its own JSON, as text and as values that the strictest JSON writer accepts."""
    text = document.model_dump_json()

    assert type(document).parse(text, source="test") == document
    assert type(document).parse(text.encode(), source="test") == document
    assert type(document).parse(json.dumps(document.to_json(), allow_nan=False), source="test") == document


@given(documents)
def test_fields_of_a_newer_version_are_passed_over(document: Document) -> None:
    """A field that a newer Haro added does not stop an older one, wherever it stands."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: grown(inner) for name, inner in value.items()} | {"added_later": [1]}
        return [grown(inner) for inner in value] if isinstance(value, list) else value

    body = {name: inner if name == "timings_s" else grown(inner) for name, inner in document.to_json().items()}

    assert type(document).parse(json.dumps(body | {"added_later": {}}), source="test") == document


@given(batches)
def test_a_batch_fits_queue_and_store(batch: SegmentBatch) -> None:
    """Whatever the hydrophone, folder and indices: the batch is a message, and its names are names of blobs."""
    check_message(Message(id=batch.id, body=batch.model_dump_json()))
    check_message(Message(id=result_blob_name(batch.id), body=result_blob_name(batch.id)))
    check_blob_name(result_blob_name(batch.id))
    for detected in (True, False):
        check_blob_name(clip_blob_name(batch, detected=detected, suffix="flac"))


@given(gaps)
def test_a_gap_can_be_stored(gap: Gap) -> None:
    """A gap's id is one that every document store accepts."""
    gaps_container = next(container for container in CONTAINERS if container.name == "gaps")

    assert document_keys(gaps_container, gap.to_json()) == (gap.hydrophone_id, gap.id)


def test_a_batch_is_named_after_what_it_holds() -> None:
    """The id, the blobs' names and the span follow from hydrophone, folder and segments alone."""
    batch = make_batch()

    assert batch.id == f"test_bay/{EPOCH}/6-11"
    assert result_blob_name(batch.id) == f"results/test_bay/{EPOCH}/6-11.json"
    assert (batch.start_utc, batch.end_utc) == (START + timedelta(seconds=60), START + timedelta(seconds=120))
    stem = "test_bay/2026-03-20/test_bay_2026-03-20t07-01-19z_6-11"
    assert clip_blob_name(batch, detected=True, suffix="png") == f"detections/{stem}.png"
    assert clip_blob_name(batch, detected=False, suffix="flac") == f"clips/{stem}.flac"
    assert make_batch(origin="backfill").id == batch.id, "the same audio is the same batch, whoever asked for it"


def test_a_gap_is_named_after_what_is_missing() -> None:
    """The same gap found twice is the same document; another reason or other segments make another."""
    gap = Gap(
        hydrophone_id="test_bay",
        epoch=EPOCH,
        first_index=3,
        last_index=4,
        start_utc=START,
        end_utc=START + timedelta(seconds=20),
        reason="missing",
    )

    assert gap.id == f"test_bay:{EPOCH}:3-4:missing"
    assert gap.duration_s == 20.0
    assert gap.model_copy(update={"detail": "other words"}).id == gap.id
    assert gap.model_copy(update={"reason": "corrupt"}).id != gap.id
    of_time = gap.model_copy(update={"first_index": None, "last_index": None})
    assert of_time.id == f"test_bay:{EPOCH}:20260320t070019:missing"


def test_a_detection_has_the_same_id_for_ever() -> None:
    """UUIDv5 of batch and model version: people hold these ids, so the formula must never change."""
    result = make_result()

    assert result.clip_id == f"test_bay:{EPOCH}:6-11"
    assert result.detection_id == "b5f3ca34-5e1f-5ea4-a062-e3fde64635e8"
    assert uuid.UUID(result.detection_id).version == 5
    assert make_result(confidence=0.9, timings_s={"decode": 1.0}).detection_id == result.detection_id
    assert make_result(model_version="haro-orca-2").detection_id != result.detection_id
    assert make_result(batch_id=f"test_bay/{EPOCH}/12-17").detection_id != result.detection_id


def test_a_wrong_message_is_told_field_by_field() -> None:
    """MessageError names the source and every field that is wrong, so that a dead letter explains itself."""
    body = make_batch().to_json()
    body["epoch"] = -1
    body["segments"][2]["duration_s"] = 0
    body["segments"][4]["start_utc"] = "2026-03-20T07:00:19"
    del body["time_source"]

    with pytest.raises(MessageError) as caught:
        SegmentBatch.parse(json.dumps(body), source="message 7")
    message = str(caught.value)
    assert message.startswith("message 7 is not a valid SegmentBatch: ")
    for field in ("epoch", "segments.2.duration_s", "segments.4.start_utc", "time_source"):
        assert f"{field}: " in message


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "5", b"\xff\xfe", "\ud800", b"\x00", "{}" * 2])
def test_what_is_no_document_is_told(text: str | bytes) -> None:
    """Whatever bytes come from a queue, the answer is a MessageError with the source."""
    with pytest.raises(MessageError, match=r"^message 7 is not a valid SegmentBatch: document: "):
        SegmentBatch.parse(text, source="message 7")


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_bytes_at_all_make_a_crash(text: str | bytes) -> None:
    """Anything that is no batch is a MessageError and nothing else."""
    with pytest.raises(MessageError):
        SegmentBatch.parse(text, source="fuzz")


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive datetime is refused where it enters; one of another zone is the same moment in UTC."""
    with pytest.raises(ValidationError, match="timezone"):
        Segment(index=0, url="x", start_utc=datetime(2026, 3, 20, 7), duration_s=10.0)  # noqa: DTZ001 - the mistake tested

    pacific = timezone(timedelta(hours=-7))
    segment = Segment(index=0, url="x", start_utc=START.astimezone(pacific), duration_s=10.0)
    assert (segment.start_utc, segment.start_utc.tzinfo) == (START, UTC)
    assert segment.to_json()["start_utc"] == "2026-03-20T07:00:19Z"


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_a_time_beyond_the_calendar_is_refused(moment: str) -> None:
    """A moment that UTC cannot tell is a wrong field, not a crash."""
    with pytest.raises(MessageError, match=r"until_utc: .*no time that can be told in UTC"):
        ChannelLease.parse(json.dumps({"channel_id": "a", "until_utc": moment}), source="lease")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    """NaN and infinity are no JSON and no measurement: no document holds them."""
    with pytest.raises(MessageError, match="start_s"):
        WindowScore.parse(f'{{"start_s": {number}, "end_s": 1, "score": 0.5}}', source="window")
    with pytest.raises(ValidationError, match="level_dbfs"):
        StreamHealth(state="silent", level_dbfs=float(number))


def test_documents_cannot_be_changed() -> None:
    """A document that has been handed on stays what it was."""
    with pytest.raises(ValidationError, match="frozen"):
        make_batch().epoch = 0  # type: ignore[misc]  # the mistake is what is tested
