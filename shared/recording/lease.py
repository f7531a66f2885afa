"""One sender at a time for each channel."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from shared.clock import Clock
from shared.documents import OUTBOX, ChannelLease
from shared.errors import ConflictError
from shared.storage.ports import DocumentStore


class Lease:
    """The right to send to a channel, held by conditional writes on one document beside the channel's entries.

    It ends by itself after `length_s`, so that a sender that died keeps nobody waiting for long.
    """

    def __init__(self, documents: DocumentStore, channel_id: str, *, length_s: float, now: Clock) -> None:
        self._documents = documents
        self._channel_id = channel_id
        self._length = timedelta(seconds=length_s)
        self._now = now
        self._etag: str | None = None

    def take(self) -> bool:
        """Take the lease, or renew it; False while somebody else holds it."""
        lease = ChannelLease(channel_id=self._channel_id, until_utc=self._now() + self._length)
        etag = self._etag or self._etag_to_replace(lease)
        if etag is None:
            return False
        try:
            self._etag = self._documents.replace(OUTBOX, lease.to_json(), etag=etag)
        except ConflictError:
            self._etag = None
        return self._etag is not None

    def release(self) -> None:
        """End the lease now, if it is still held."""
        if self._etag is None:
            return
        ended = ChannelLease(channel_id=self._channel_id, until_utc=self._now())
        with suppress(ConflictError):  # it ended by itself, and is somebody else's by now
            self._documents.replace(OUTBOX, ended.to_json(), etag=self._etag)
        self._etag = None

    def _etag_to_replace(self, lease: ChannelLease) -> str | None:
        """The etag of a lease nobody holds."""
        stored = self._documents.get(OUTBOX, self._channel_id, lease.id)
        if stored is None:
            # Born ended: whoever replaces it first holds it.
            unheld = lease.model_copy(update={"until_utc": self._now()})
            self._documents.create(OUTBOX, unheld.to_json())
            stored = self._documents.get(OUTBOX, self._channel_id, lease.id)
        if stored is None or ChannelLease.model_validate(stored.body).until_utc > self._now():
            return None
        return stored.etag


def end_lease(documents: DocumentStore, channel_id: str) -> None:
    """End a channel's lease, for whoever knows that its holder is dead."""
    documents.delete(OUTBOX, channel_id, ChannelLease(channel_id=channel_id, until_utc=datetime.now(UTC)).id)
