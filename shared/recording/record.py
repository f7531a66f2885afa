"""The third stage: from a result in the blob store to documents, and to the outbox that tells people.

Every write is create-if-absent or conditional, and every id is derived: recording a result twice, or again after a
crash at any point, changes nothing, overwrites no moderator's verdict and tells nobody twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.documents import CLIPS, DETECTIONS, GAPS, Audience, ClipResult
from shared.errors import ConflictError, MessageError
from shared.hydrophones import Hydrophone
from shared.recording.channels import Channel
from shared.recording.detections import Verdict, clip_record, detection_document, is_confirmed, moderated, utc_seconds
from shared.recording.notify import NoticePolicy
from shared.recording.outbox import Clock, plan
from shared.storage.ports import BlobStore, Container, DocumentStore, Json

_log = logging.getLogger(__name__)
_HEARD: frozenset[Audience] = frozenset({"moderators"})
_CONFIRMED: frozenset[Audience] = frozenset({"subscribers", "orcasite"})
_TRIES = 10  # conflicts in a row mean that something is broken: two moderators do not click ten times a second


@dataclass(frozen=True)
class Recorded:
    """What recording a result wrote: new gaps, whether the detection is new, and new outbox entries."""

    clip_id: str
    detection_id: str | None
    new_gaps: int
    new_detection: bool
    new_entries: int


def record_result(
    result_blob: str,
    *,
    blobs: BlobStore,
    documents: DocumentStore,
    hydrophones: Mapping[str, Hydrophone],
    channels: Iterable[Channel],
    policy: NoticePolicy,
    now: Clock,
) -> Recorded:
    """Write the documents of one scored clip and plan who is told.

    Raises BlobNotFound when there is no such result and MessageError when it cannot be read.
    """
    result = ClipResult.parse(blobs.get(result_blob), source=result_blob)
    new_gaps = sum(documents.create(GAPS, gap.to_json()) for gap in result.gaps)
    _write(documents, CLIPS, result.hydrophone_id, clip_record(result, result_blob=result_blob).to_json())
    if not result.detected:
        return Recorded(result.clip_id, None, new_gaps, new_detection=False, new_entries=0)
    detection = detection_document(
        result,
        hydrophones.get(result.hydrophone_id),
        audio_uri=blobs.uri(result.audio_blob) if result.audio_blob else "",
        image_uri=blobs.uri(result.image_blob) if result.image_blob else "",
        result_blob=result_blob,
    )
    new_detection = documents.create(DETECTIONS, detection)
    # Planned again even when the detection is not new: the crash may have come between the two.
    new_entries = plan(documents, detection, channels, audiences=_HEARD, policy=policy, now=now)
    return Recorded(result.clip_id, result.detection_id, new_gaps, new_detection=new_detection, new_entries=new_entries)


def moderate(
    documents: DocumentStore,
    hydrophone_id: str,
    detection_id: str,
    verdict: Verdict,
    *,
    channels: Iterable[Channel],
    policy: NoticePolicy,
    now: Clock,
) -> Json | None:
    """Write a moderator's verdict into a detection and, when it says yes, plan who is told.

    Returns the detection as it now is, or None when there is no such detection. Raises MessageError for a verdict
    nobody can understand, and ConflictError when others keep writing the same detection.
    """
    for _ in range(_TRIES):
        stored = documents.get(DETECTIONS, hydrophone_id, detection_id)
        if stored is None:
            return None
        body = moderated(stored.body, verdict, now=now())
        try:
            documents.replace(DETECTIONS, body, etag=stored.etag)
        except ConflictError:
            continue
        if is_confirmed(body):
            plan(documents, body, channels, audiences=_CONFIRMED, policy=policy, now=now)
        return body
    raise ConflictError(f"detection {detection_id} changed {_TRIES} times while a verdict was written: try again")


def plan_confirmed(documents: DocumentStore, channels: Iterable[Channel], *, policy: NoticePolicy, now: Clock) -> int:
    """Plan who is told of detections confirmed lately, whoever wrote the verdict; returns how many entries are new.

    For verdicts that other tools write straight into the store, and for a crash between verdict and plan. Run before
    each delivery.
    """
    told = [channel for channel in channels if channel.audience in _CONFIRMED]
    if not told:
        return 0
    # By the time of the verdict, not of the call: Orcasite gets old calls too, and `plan` keeps them from subscribers.
    since = ("dateModerated", utc_seconds(now() - timedelta(seconds=policy.max_age_s)))
    new = 0
    for stored in documents.query(DETECTIONS, where={"reviewed": True}, since=since):
        try:
            if is_confirmed(stored.body):
                new += plan(documents, stored.body, told, audiences=_CONFIRMED, policy=policy, now=now)
        except MessageError as error:
            _log.warning("nobody is told: %s", error)
    return new


def _write(documents: DocumentStore, container: Container, partition: str, body: Json) -> None:
    """Create the document, or bring it up to date: a clip scored again by a newer model has a newer record."""
    for _ in range(_TRIES):
        if documents.create(container, body):
            return
        stored = documents.get(container, partition, body["id"])
        if stored is not None and stored.body == body:
            return
        if stored is not None:
            try:
                documents.replace(container, body, etag=stored.etag)
            except ConflictError:
                continue
            return
    raise ConflictError(
        f"{container.name} document {body['id']} kept changing while it was written: record the result again"
    )
