"""The outbox entries of one channel, as its sender reads, claims and marks them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import cycle

from shared.documents import OUTBOX, OutboxEntry
from shared.errors import ConflictError, StorageError
from shared.storage.ports import DocumentStore

_log = logging.getLogger(__name__)
_LOOK_BACK = timedelta(days=2)  # further than a bout or the age limit of subscribers reaches
_PAUSES_S = (0.0, 0.1, 0.3, 0.6)  # before each try; longer, and the channel's lease would end meanwhile


class ChannelEntries:
    """Entries under optimistic concurrency: each write is refused when another sender wrote since the last reading.

    `pause` waits for so many seconds; a store that failed is asked again after it.
    """

    def __init__(self, documents: DocumentStore, channel_id: str, *, pause: Callable[[float], None]) -> None:
        self._documents = documents
        self._channel_id = channel_id
        self._pause = pause
        self._etags: dict[str, str] = {}

    def read(self) -> list[OutboxEntry]:
        """All entries that matter: those waiting, and all beside them that tell what was sent and where bouts begin."""
        waiting = self._documents.query(OUTBOX, partition=self._channel_id, where={"state": "waiting"})
        if not waiting:
            return []
        earliest = min(OutboxEntry.model_validate(stored.body).detection_utc for stored in waiting) - _LOOK_BACK
        since = ("detection_utc", earliest.strftime("%Y-%m-%dT%H:%M:%S"))
        found = self._documents.query(OUTBOX, partition=self._channel_id, since=since)
        self._etags = {stored.body["id"]: stored.etag for stored in found}
        return [OutboxEntry.model_validate(stored.body) for stored in found]

    def write(self, entry: OutboxEntry) -> OutboxEntry:
        """Write the entry as it now is, and return it. Raises ConflictError when another sender has it."""
        self._etags[entry.id] = self._documents.replace(OUTBOX, entry.to_json(), etag=self._etags[entry.id])
        return entry

    def claim(self, entries: Sequence[OutboxEntry], *, notice_id: str, bout_id: str) -> list[OutboxEntry]:
        """Write down that these go out together, once more."""
        return [
            self.write(
                entry.model_copy(update={"notice_id": notice_id, "bout_id": bout_id, "attempts": entry.attempts + 1})
            )
            for entry in entries
        ]

    def mark_sent(self, claimed: Sequence[OutboxEntry], sent_utc: datetime) -> bool:
        """Mark the claimed entries of a message that went out; whether the outbox knows of it now.

        One marked entry is enough for that: the others are then marked by whoever reads them next. So a store that
        fails is asked a few times, about another entry each time.
        """
        sent = [entry.model_copy(update={"state": "sent", "sent_utc": sent_utc, "last_error": ""}) for entry in claimed]
        for pause_s, entry in zip(_PAUSES_S, cycle(sent), strict=False):
            self._pause(pause_s)
            if self._mark(entry):
                break
        else:
            return False
        for other in sent:
            if other is not entry:
                self._mark(other)
        return True

    def _mark(self, sent: OutboxEntry) -> bool:
        try:
            self.write(sent)
        except ConflictError:
            return self._is_marked(sent)
        except StorageError as error:
            _log.warning("outbox entry %s could not be marked as sent: %s", sent.id, error)
            return False
        return True

    def _is_marked(self, sent: OutboxEntry) -> bool:
        """Whether it was marked already: by a try whose answer was lost, or by who has taken the message over."""
        try:
            stored = self._documents.get(OUTBOX, sent.channel_id, sent.id)
        except StorageError as error:
            _log.warning("outbox entry %s could not be read: %s", sent.id, error)
            return False
        found = OutboxEntry.model_validate(stored.body) if stored else None
        return found is not None and (found.state, found.notice_id) == ("sent", sent.notice_id)
