"""Batches and gaps: named after what they hold, and fit for queue and store."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given

from shared.documents import (
    CONTAINERS,
    Gap,
    SegmentBatch,
    clip_blob_name,
    result_blob_name,
)
from shared.storage.ports import Message, check_blob_name, check_message, document_keys
from tests.documents.makers import EPOCH, START, batches, gaps, make_batch


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
