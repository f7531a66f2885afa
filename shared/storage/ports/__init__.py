"""The three ports every stage writes through: a queue of messages, a store of blobs, a store of documents.

Adapters live in `storage/local` and `storage/azure`; the suites in `tests/contract` say what all of them must do. The
names and sizes that every adapter accepts, and nothing beyond, are checked by `check_message`, `check_blob_name` and
`document_keys`. All methods may be called from several threads.
"""

from shared.storage.ports.blobs import Blob, BlobInfo, BlobStore, check_blob_name, is_blob_name
from shared.storage.ports.documents import (
    Changes,
    Container,
    DocumentStore,
    Json,
    Scalar,
    Stored,
    Vector,
    check_field,
    check_limit,
    document_keys,
    document_text,
)
from shared.storage.ports.queue import (
    MAX_MESSAGE_BYTES,
    DeadLetter,
    Delivery,
    Message,
    MessageQueue,
    QueueStats,
    Settlement,
    check_message,
)
from shared.storage.ports.storage import Storage

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Blob",
    "BlobInfo",
    "BlobStore",
    "Changes",
    "Container",
    "DeadLetter",
    "Delivery",
    "DocumentStore",
    "Json",
    "Message",
    "MessageQueue",
    "QueueStats",
    "Scalar",
    "Settlement",
    "Storage",
    "Stored",
    "Vector",
    "check_blob_name",
    "check_field",
    "check_limit",
    "check_message",
    "document_keys",
    "document_text",
    "is_blob_name",
]
