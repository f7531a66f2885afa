"""Every JSON document that passes between stages or is stored, and the containers they are stored in.

All are frozen. Times are aware and in UTC; units are in the names. Ids are derived from what they name, never
random, so that a repeated message writes the same document again.
"""

from shared.documents.base import Document, Utc
from shared.documents.clips import (
    ClipRecord,
    ClipResult,
    HealthState,
    Provenance,
    StreamHealth,
    WindowScore,
    clip_blob_name,
    result_blob_name,
)
from shared.documents.containers import BACKFILLS, CLIPS, CONTAINERS, CURSORS, DETECTIONS, GAPS, OUTBOX
from shared.documents.outbox import Audience, ChannelLease, OutboxEntry
from shared.documents.progress import Backfill, Cursor
from shared.documents.stream import Gap, GapReason, Segment, SegmentBatch, TimeSource

__all__ = [
    "BACKFILLS",
    "CLIPS",
    "CONTAINERS",
    "CURSORS",
    "DETECTIONS",
    "GAPS",
    "OUTBOX",
    "Audience",
    "Backfill",
    "ChannelLease",
    "ClipRecord",
    "ClipResult",
    "Cursor",
    "Document",
    "Gap",
    "GapReason",
    "HealthState",
    "OutboxEntry",
    "Provenance",
    "Segment",
    "SegmentBatch",
    "StreamHealth",
    "TimeSource",
    "Utc",
    "WindowScore",
    "clip_blob_name",
    "result_blob_name",
]
