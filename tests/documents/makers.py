"""Documents of every kind, drawn by hypothesis, and two made by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from shared.documents import (
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
)

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
