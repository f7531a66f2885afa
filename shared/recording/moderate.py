"""A moderator's verdict, written into the detection; a yes is planned to be told."""

from __future__ import annotations

from collections.abc import Iterable

from shared.clock import Clock
from shared.documents import DETECTIONS
from shared.errors import ConflictError
from shared.recording.channels import Channel
from shared.recording.detections import Verdict, is_confirmed, moderated
from shared.recording.notify import NoticePolicy
from shared.recording.planning import CONFIRMED, TRIES, plan
from shared.storage.ports import DocumentStore, Json


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
    for _ in range(TRIES):
        stored = documents.get(DETECTIONS, hydrophone_id, detection_id)
        if stored is None:
            return None
        body = moderated(stored.body, verdict, now=now())
        try:
            documents.replace(DETECTIONS, body, etag=stored.etag)
        except ConflictError:
            continue
        if is_confirmed(body):
            plan(documents, body, channels, audiences=CONFIRMED, policy=policy, now=now)
        return body
    raise ConflictError(f"detection {detection_id} changed {TRIES} times while a verdict was written: try again")
