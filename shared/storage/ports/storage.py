"""The ports of one house together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.storage.ports.blobs import BlobStore
from shared.storage.ports.documents import DocumentStore
from shared.storage.ports.queue import MessageQueue, Settlement


@dataclass(frozen=True)
class Storage:
    """Where everything is kept.

    Args:
        batches: What is to be scored.
        results: The names of results to be recorded; None where the blob store itself tells of them.
        documents: Cursors, clips, detections and all other documents.
        blobs: Clips, pictures and results.
        hosted: Settles deliveries that a function host received from `batches`.
        take_over: Ends what an earlier process left unfinished; only for who is alone on the storage.
        clean: Forgets what is too old, where nobody else does.
    """

    batches: MessageQueue
    results: MessageQueue | None
    documents: DocumentStore
    blobs: BlobStore
    hosted: Settlement
    take_over: Callable[[], None]
    clean: Callable[[], None]

    @property
    def queues(self) -> dict[str, MessageQueue]:
        """The queues by the names people know them by."""
        return {"batches": self.batches} | ({"results": self.results} if self.results is not None else {})
