"""The containers that documents are stored in, with their partition keys and indexed fields."""

from __future__ import annotations

from shared.storage.ports import Container

CURSORS = Container("cursors", partition_key="hydrophone_id")
BACKFILLS = Container("backfills", partition_key="hydrophone_id", indexed=("state",))
GAPS = Container("gaps", partition_key="hydrophone_id", indexed=("start_utc",))
CLIPS = Container("clips", partition_key="hydrophone_id", indexed=("start_utc",))
DETECTIONS = Container("metadata", partition_key="source_guid", indexed=("timestamp", "reviewed", "dateModerated"))
OUTBOX = Container("outbox", partition_key="channel_id", indexed=("state", "detection_utc"))
CONTAINERS = (CURSORS, BACKFILLS, GAPS, CLIPS, DETECTIONS, OUTBOX)
