"""The trace of a batch: everything that happens to it, from poll to notification, is found under one id."""

from __future__ import annotations

from hashlib import sha256


def trace_parent(batch_id: str) -> str:
    """The W3C `traceparent` of a batch, derived from its id: any process at any time gives the same one.

    Format: version, trace id (16 bytes), span id (8 bytes), flags (sampled), as https://www.w3.org/TR/trace-context/
    has it. The bytes are the SHA-256 of the batch's id.
    """
    digest = sha256(batch_id.encode()).hexdigest()
    return f"00-{digest[:32]}-{digest[32:48]}-01"
