"""What is on its way: every batch that was sent and is not recorded yet."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from shared.documents.base import Document, Utc
from shared.documents.stream import SegmentBatch
from shared.documents.trace import trace_parent
from shared.storage.ports import Message


class SentBatch(Document):
    """A batch between its sending and the recording of its result: written before the first, deleted after the second.

    What stays here for long has vanished, or lies among the dead letters. `sent_utc` is when it was last put on the
    queue, `resent` how often it was sent again because it had vanished, `replayed` how often it came back from the dead
    letters.
    """

    id: str
    hydrophone_id: str
    sent_utc: Utc
    resent: int = Field(default=0, ge=0)
    replayed: int = Field(default=0, ge=0)
    batch: SegmentBatch

    @classmethod
    def of(cls, batch: SegmentBatch, *, sent_utc: Utc) -> Self:
        """The document of a batch that is about to be sent."""
        return cls(id=batch.clip_id, hydrophone_id=batch.hydrophone_id, sent_utc=sent_utc, batch=batch)

    def message(self) -> Message:
        """The queue message of the batch. Its id makes a repeat recognisable; sent again, it has another."""
        again = f"~{self.resent}" if self.resent else ""
        return Message(
            id=f"{self.batch.id}{again}",
            body=self.batch.model_dump_json(),
            headers={"traceparent": trace_parent(self.batch.id)},
        )
