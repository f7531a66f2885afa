"""The containers that documents are stored in, with their partition keys, indexed fields, vectors and times to live.

None has a time to live: what is done with is deleted by whoever is done (`sent`), and the rest is data that scientists
come back for, or the memory of who was told (`outbox`), without which an old call confirmed again would be told again.
`embeddings` is for finding similar calls; nothing writes there yet.
"""

from __future__ import annotations

from shared.storage.ports import Container, Vector

CURSORS = Container("cursors", partition_key="hydrophone_id")
BACKFILLS = Container("backfills", partition_key="hydrophone_id", indexed=("state",))
GAPS = Container("gaps", partition_key="hydrophone_id", indexed=("start_utc",))
SENT = Container("sent", partition_key="hydrophone_id", indexed=("sent_utc",))
CLIPS = Container("clips", partition_key="hydrophone_id", indexed=("start_utc",))
DETECTIONS = Container("metadata", partition_key="source_guid", indexed=("timestamp", "reviewed", "dateModerated"))
OUTBOX = Container("outbox", partition_key="channel_id", indexed=("state", "detection_utc"))
EMBEDDINGS = Container(
    "embeddings", partition_key="hydrophone_id", indexed=("start_utc",), vector=Vector("embedding", 128)
)
BLOB_CONTAINERS = ("clips", "detections", "models", "results")
CONTAINERS = (CURSORS, BACKFILLS, GAPS, SENT, CLIPS, DETECTIONS, OUTBOX, EMBEDDINGS)
