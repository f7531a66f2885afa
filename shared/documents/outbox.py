"""Who is to be told what: the outbox of notifications."""

from __future__ import annotations

from typing import Literal

from shared.documents.base import Document, Utc

Audience = Literal["moderators", "subscribers", "orcasite"]


class OutboxEntry(Document):
    """One detection to be told to one channel: written first, marked sent after.

    `audience` is who stands behind the channel; `due_utc` is the earliest time to send. Entries that went into the same
    message share its `notice_id`, written before it is first sent, so that a repeat is the same message. `bout_id` is
    the bout as it stood then.
    """

    id: str
    channel_id: str
    audience: Audience
    detection_id: str
    hydrophone_id: str
    detection_utc: Utc
    created_utc: Utc
    due_utc: Utc
    state: Literal["waiting", "sent", "suppressed", "failed"] = "waiting"
    suppressed_because: str = ""
    bout_id: str = ""
    notice_id: str = ""
    attempts: int = 0
    sent_utc: Utc | None = None
    last_error: str = ""


class ChannelLease(Document):
    """Who may speak to a channel now: nobody else, until `until_utc`. One per channel, beside its entries."""

    id: Literal["lease"] = "lease"
    channel_id: str
    until_utc: Utc


class Bookmark(Document):
    """How far the detections' changes have been read for verdicts: a mark as `DocumentStore.changes` gives it.

    Verdicts given before `since_utc` were there when the reading began, and are no news. One for all channels, in a
    partition of its own beside their entries.
    """

    id: Literal["bookmark"] = "bookmark"
    channel_id: Literal["bookmark"] = "bookmark"
    mark: str
    since_utc: Utc
