"""Who is to be told of a detection: an entry per channel, in the outbox before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable

from shared.clock import Clock
from shared.documents import OUTBOX, Audience, OutboxEntry
from shared.errors import ConflictError, MessageError, StorageError
from shared.recording.channels import Channel
from shared.recording.detections import detection_start
from shared.recording.notify import NoticePolicy, suppressed_from_the_start
from shared.storage.ports import DocumentStore, Json, document_keys
from shared.telemetry import metrics

HEARD: frozenset[Audience] = frozenset({"moderators"})
"""Who is told that orcas may have been heard."""

CONFIRMED: frozenset[Audience] = frozenset({"subscribers", "orcasite"})
"""Who is told once a moderator has said so."""

TRIES = 10
"""How often a document that others write too is written: ten conflicts in a row mean that something is broken."""

WITHDRAWN = "no longer confirmed"
"""Why an entry is suppressed whose detection was confirmed and then was not; another yes takes it back."""


def plan(
    documents: DocumentStore,
    detection: Json,
    channels: Iterable[Channel],
    *,
    audiences: frozenset[Audience],
    policy: NoticePolicy,
    now: Clock,
) -> int:
    """Write down who is to be told of a detection, and return how many entries are new.

    What is written already stays, but for what was suppressed because a yes was withdrawn: the yes is back. Raises
    MessageError for a detection that does not say when it was, or whose id can be part of no entry's.
    """
    moment = now()
    start_utc = detection_start(detection)
    origin = str((detection.get("haro") or {}).get("origin", "live"))
    new = 0
    for channel in channels:
        if channel.audience not in audiences:
            continue
        reason = suppressed_from_the_start(
            channel.audience, origin=origin, detection_utc=start_utc, now=moment, policy=policy
        )
        entry = OutboxEntry(
            id=f"{channel.id}:{detection['id']}",
            channel_id=channel.id,
            audience=channel.audience,
            detection_id=detection["id"],
            hydrophone_id=detection["source_guid"],
            detection_utc=start_utc,
            created_utc=moment,
            due_utc=moment,
            state="suppressed" if reason else "waiting",
            suppressed_because=reason,
        )
        _check_keys(entry)
        created = documents.create(OUTBOX, entry.to_json()) or _revive(documents, entry)
        new += created
        if created and reason:
            metrics.notified(channel.audience, "suppressed")
    return new


def _check_keys(entry: OutboxEntry) -> None:
    """Raise MessageError for an entry that no store takes: unlike a store that fails, another try would not help."""
    try:
        document_keys(OUTBOX, {"channel_id": entry.channel_id, "id": entry.id})
    except StorageError as error:
        raise MessageError(f"detection {entry.detection_id[:60]!r} cannot be put in the outbox: {error}") from error


def _revive(documents: DocumentStore, entry: OutboxEntry) -> bool:
    """Put the entry in the place of a withdrawn one; whoever writes that at the same time does the same."""
    stored = documents.get(OUTBOX, entry.channel_id, entry.id)
    if stored is None or stored.body["suppressed_because"] != WITHDRAWN:
        return False
    try:
        documents.replace(OUTBOX, entry.to_json(), etag=stored.etag)
    except ConflictError:
        return False
    return True
