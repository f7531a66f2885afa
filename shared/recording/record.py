"""The third stage: from a result in the blob store to documents, and to the outbox that tells people.

Every write is create-if-absent or conditional, and every id is derived: recording a result twice, or again after a
crash at any point, changes nothing, overwrites no moderator's verdict and tells nobody twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.clock import Clock
from shared.documents import CLIPS, DETECTIONS, GAPS, SENT, ClipResult
from shared.errors import ConflictError
from shared.hydrophones import Hydrophone
from shared.recording.channels import Channel
from shared.recording.detections import clip_record, detection_document
from shared.recording.notify import NoticePolicy
from shared.recording.planning import HEARD, TRIES, plan
from shared.storage.ports import BlobStore, Container, DocumentStore, Json
from shared.telemetry import metrics


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
    new_entries = plan(documents, detection, channels, audiences=HEARD, policy=policy, now=now)
    return Recorded(
        result.clip_id, result.detection_id, len(new_gaps), new_detection=new_detection, new_entries=new_entries
    )


def _write(documents: DocumentStore, container: Container, partition: str, body: Json) -> bool:
    """Create the document, or bring it up to date: a clip scored again by a newer model has a newer record.

    Returns whether it is new.
    """
    for _ in range(TRIES):
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
