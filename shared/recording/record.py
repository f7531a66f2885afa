"""The third stage: from a result in the blob store to documents, and to the outbox that tells people.

Every write is create-if-absent or conditional, and every id is derived: recording a result twice, or again after a
crash at any point, changes nothing, overwrites no moderator's verdict and tells nobody twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from shared.documents import CLIPS, DETECTIONS, GAPS, OUTBOX, SENT, Audience, Bookmark, ClipResult
from shared.errors import ConflictError, MessageError, StorageError, UnknownMark
from shared.hydrophones import Hydrophone
from shared.recording.channels import Channel
from shared.recording.detections import Verdict, clip_record, detection_document, is_confirmed, moderated, utc_seconds
from shared.recording.notify import NoticePolicy
from shared.recording.outbox import Clock
from shared.recording.planning import plan
from shared.storage.ports import BlobStore, Container, DocumentStore, Json, Stored
from shared.telemetry import metrics

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
    """Write the documents of one scored clip and plan who is told; last, strike the batch off those on their way.

    Raises BlobNotFound when there is no such result and MessageError when it cannot be read.
    """
    result = ClipResult.parse(blobs.get(result_blob), source=result_blob)
    recorded = _record(result, result_blob, blobs, documents, hydrophones, channels, policy, now)
    documents.delete(SENT, result.hydrophone_id, result.clip_id)
    return recorded


def _record(
    result: ClipResult,
    result_blob: str,
    blobs: BlobStore,
    documents: DocumentStore,
    hydrophones: Mapping[str, Hydrophone],
    channels: Iterable[Channel],
    policy: NoticePolicy,
    now: Clock,
) -> Recorded:
    new_gaps = [gap for gap in result.gaps if documents.create(GAPS, gap.to_json())]
    for gap in new_gaps:
        metrics.gap_found(gap)
    # Only the first record of a clip says how late it is: upkeep repeats those of long ago.
    if _write(documents, CLIPS, result.hydrophone_id, clip_record(result, result_blob=result_blob).to_json()):
        metrics.clip_recorded(result, now())
    if not result.detected:
        return Recorded(result.clip_id, None, len(new_gaps), new_detection=False, new_entries=0)
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
    return Recorded(
        result.clip_id, result.detection_id, len(new_gaps), new_detection=new_detection, new_entries=new_entries
    )


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
    """Plan who is told of confirmed detections, whoever wrote the verdict; returns how many entries are new.

    For verdicts that other tools write straight into the store, and for a crash between verdict and plan. Run before
    each delivery. What changed since the last run is read page by page, and a bookmark moved on after each: finding
    nothing new costs one small read, and a crash before the bookmark moves repeats a page, which changes nothing.
    Verdicts older than `policy.max_age_s` when the reading began from the first change were there before; all later
    ones count, however long nobody read.
    """
    told = [channel for channel in channels if channel.audience in _CONFIRMED]
    if not told:
        return 0
    start = Bookmark(mark="", since_utc=now() - timedelta(seconds=policy.max_age_s))
    stored = documents.get(OUTBOX, start.channel_id, start.id)
    bookmark = Bookmark.model_validate(stored.body) if stored else start
    new, more = 0, True
    while more:
        try:
            changes = documents.changes(DETECTIONS, after=bookmark.mark)
        except UnknownMark as error:  # the container was made anew; planning twice plans once
            _log.warning("the detections are looked through from the first one: %s", error)
            bookmark = start
            changes = documents.changes(DETECTIONS)
        # By the time of the verdict, not of the call: Orcasite gets old calls too, and `plan` spares subscribers those.
        since = utc_seconds(bookmark.since_utc)
        new += sum(_plan_if_confirmed(documents, one.body, told, since, policy, now) for one in changes.documents)
        bookmark = bookmark.model_copy(update={"mark": changes.mark})
        if changes.documents:
            if not _moved(documents, stored, bookmark):
                return new  # another process is reading on from here
            stored = documents.get(OUTBOX, start.channel_id, start.id)
        more = changes.more
    return new


def _plan_if_confirmed(
    documents: DocumentStore, detection: Json, told: Iterable[Channel], since: str, policy: NoticePolicy, now: Clock
) -> int:
    moderated_utc = detection.get("dateModerated")
    if not is_confirmed(detection) or not isinstance(moderated_utc, str) or moderated_utc < since:
        return 0
    try:
        return plan(documents, detection, told, audiences=_CONFIRMED, policy=policy, now=now)
    except StorageError:
        raise  # no fault of this document: it is read again
    except MessageError as error:
        _log.warning("nobody is told: %s", error)
    except Exception:  # noqa: BLE001 - a bug met with one document must not hold up for ever all that follow it
        _log.exception("nobody is told of detection %s: a bug", detection.get("id"))
    return 0


def _moved(documents: DocumentStore, stored: Stored | None, bookmark: Bookmark) -> bool:
    """Write the bookmark as it now is; False when another process did so first."""
    if stored is None:
        return documents.create(OUTBOX, bookmark.to_json())
    try:
        documents.replace(OUTBOX, bookmark.to_json(), etag=stored.etag)
    except ConflictError:
        return False
    return True


def _write(documents: DocumentStore, container: Container, partition: str, body: Json) -> bool:
    """Create the document, or bring it up to date: a clip scored again by a newer model has a newer record.

    Returns whether it is new.
    """
    for _ in range(_TRIES):
        if documents.create(container, body):
            return True
        stored = documents.get(container, partition, body["id"])
        if stored is not None and stored.body == body:
            return False
        if stored is not None:
            try:
                documents.replace(container, body, etag=stored.etag)
            except ConflictError:
                continue
            return False
    raise ConflictError(
        f"{container.name} document {body['id']} kept changing while it was written: record the result again"
    )
