"""An outbox to test: detections are planned and delivered, and its entries looked at."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from shared.documents import DETECTIONS, OUTBOX, Audience, OutboxEntry
from shared.recording.channels import Channel, Sender
from shared.recording.detections import Verdict, detection_document, moderated
from shared.recording.notify import NoticePolicy
from shared.recording.outbox import Delivered, deliver_due
from shared.recording.planning import plan
from shared.storage.ports import DocumentStore, Json
from tests.recording.fakes import LAB, NOON, Clock, make_result

POLICY = NoticePolicy()
MODERATORS = Channel.of("json://hooks.example/secret", "moderators", name="mods")
SUBSCRIBERS = Channel.of("mailto://u:p@mail.example", "subscribers", name="subs")
EVERYBODY: frozenset[Audience] = frozenset({"moderators", "subscribers", "orcasite"})


def heard(minutes: float, *, hydrophone_id: str = LAB.id, confirmed: bool = True) -> Json:
    """A detection so many minutes after noon."""
    result = make_result(NOON + timedelta(minutes=minutes), hydrophone_id=hydrophone_id)
    detection = detection_document(result, LAB, audio_uri="", image_uri="", result_blob="")
    return moderated(detection, Verdict("yes", "Ann"), now=NOON) if confirmed else detection


def tell(documents: DocumentStore, detections: Iterable[Json], *channels: Channel, clock: Clock) -> None:
    """Store detections and plan who is told."""
    for detection in detections:
        documents.create(DETECTIONS, detection)
        plan(documents, detection, channels, audiences=EVERYBODY, policy=POLICY, now=clock)


def deliver(documents: DocumentStore, sender: Sender, *channels: Channel, clock: Clock) -> Delivered:
    """One round of delivery."""
    return deliver_due(documents, channels, sender, policy=POLICY, now=clock)


def entries(documents: DocumentStore) -> list[OutboxEntry]:
    """All entries, in order of the sea's time."""
    found = [
        OutboxEntry.model_validate(stored.body) for stored in documents.query(OUTBOX) if stored.body["id"] != "lease"
    ]
    return sorted(found, key=lambda entry: (entry.channel_id, entry.detection_utc))
