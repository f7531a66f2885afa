"""The stage with the collaborators of these tests: results recorded, verdicts given, the outbox looked at."""

from __future__ import annotations

from shared.documents import OUTBOX, ClipResult
from shared.recording.channels import Channel
from shared.recording.detections import Verdict
from shared.recording.moderate import moderate
from shared.recording.notify import NoticePolicy
from shared.recording.record import Recorded, record_result
from shared.storage.ports import BlobStore, DocumentStore, Json
from tests.recording.fakes import HYDROPHONES, LAB, Clock

POLICY = NoticePolicy()
CHANNELS = (
    Channel.of("json://hooks.example/m", "moderators", name="mods"),
    Channel.of("json://hooks.example/n", "moderators", name="night"),
    Channel.of("mailto://u:p@mail.example", "subscribers", name="subs"),
    Channel.of("orcasite://:key@orcasite.example", "orcasite", name="orcasite"),
)


def record(name: str, blobs: BlobStore, documents: DocumentStore, clock: Clock | None = None) -> Recorded:
    """Record one result with the collaborators of these tests."""
    return record_result(
        name,
        blobs=blobs,
        documents=documents,
        hydrophones=HYDROPHONES,
        channels=CHANNELS,
        policy=POLICY,
        now=clock or Clock(),
    )


def say(documents: DocumentStore, result: ClipResult, found: str, clock: Clock | None = None) -> Json | None:
    """A moderator's verdict."""
    return moderate(
        documents,
        result.hydrophone_id,
        result.detection_id,
        Verdict(found, "Ann"),
        channels=CHANNELS,
        policy=POLICY,
        now=clock or Clock(),
    )


def entries(documents: DocumentStore) -> list[Json]:
    """The outbox without leases and the bookmark."""
    return [stored.body for stored in documents.query(OUTBOX) if "detection_id" in stored.body]


def confirmed(name: str, **fields: object) -> Json:
    """A detection that another tool has written, with a moderator's yes of a minute ago."""
    return {
        "id": name,
        "source_guid": LAB.id,
        "timestamp": "2026-03-20T18:50:00Z",
        "reviewed": True,
        "SRKWFound": "yes",
        "dateModerated": "2026-03-20T18:59:00Z",
        **fields,
    }
