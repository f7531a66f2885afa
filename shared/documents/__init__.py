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
    batch_id_of,
    clip_blob_name,
    result_blob_name,
)
from shared.documents.containers import (
    BACKFILLS,
    BLOB_CONTAINERS,
    CLIPS,
    CONTAINERS,
    CURSORS,
    DETECTIONS,
    EMBEDDINGS,
    GAPS,
    OUTBOX,
    SENT,
)
from shared.documents.models import BUNDLED, POINTER_BLOB, KnownModel, ModelEntry, ModelRef, Production
from shared.documents.outbox import Audience, Bookmark, ChannelLease, OutboxEntry
from shared.documents.progress import Backfill, Cursor, FinishedFolder
from shared.documents.sent import SentBatch
from shared.documents.stream import Gap, GapReason, Segment, SegmentBatch, TimeSource, clip_id
from shared.documents.trace import trace_parent

__all__ = [
    "BACKFILLS",
    "BLOB_CONTAINERS",
    "BUNDLED",
    "CLIPS",
    "CONTAINERS",
    "CURSORS",
    "DETECTIONS",
    "EMBEDDINGS",
    "GAPS",
    "OUTBOX",
    "POINTER_BLOB",
    "SENT",
    "Audience",
    "Backfill",
    "Bookmark",
    "ChannelLease",
    "ClipRecord",
    "ClipResult",
    "Cursor",
    "Document",
    "FinishedFolder",
    "Gap",
    "GapReason",
    "HealthState",
    "KnownModel",
    "ModelEntry",
    "ModelRef",
    "OutboxEntry",
    "Production",
    "Provenance",
    "Segment",
    "SegmentBatch",
    "SentBatch",
    "StreamHealth",
    "TimeSource",
    "Utc",
    "WindowScore",
    "batch_id_of",
    "clip_blob_name",
    "clip_id",
    "result_blob_name",
    "trace_parent",
]
