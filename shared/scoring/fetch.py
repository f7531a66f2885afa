"""The bytes of a batch's segments, all at once, and the reason where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.documents import GapReason, Segment
from shared.errors import StreamError, StreamNotFound, StreamUnreachable

# One pool for the process: its threads keep their connections from batch to batch.
_pool = ThreadPoolExecutor(max_workers=6, thread_name_prefix="fetch")


class SegmentSource(Protocol):
    """What segments are fetched with: `shared.http.Http`, or whatever answers like it."""

    def get(self, url: str, *, max_bytes: int) -> bytes:
        """The object's bytes. Raises StreamNotFound, StreamUnreachable or another StreamError."""
        ...


@dataclass(frozen=True)
class Fetched:
    """A segment with its bytes, or with the reason why there are none."""

    segment: Segment
    data: bytes | None = field(repr=False)
    reason: GapReason | None = None
    detail: str = ""


@dataclass(frozen=True)
class FetchPolicy:
    """When a segment that cannot be had is given up.

    One that is not there may still be on its way until `late_s` after its end. On `last_try` nothing is waited for.
    """

    late_s: float
    max_bytes: int
    last_try: bool = False


def fetch_segments(
    segments: Sequence[Segment], source: SegmentSource, policy: FetchPolicy, *, now: datetime
) -> tuple[Fetched, ...]:
    """Fetch the segments concurrently; what one of them costs, the others do not pay.

    Returns:
        One entry per segment, in their order. Without bytes the reason is `missing`, `unreachable`, or `corrupt` for an
        answer that is no segment, such as one beyond `max_bytes`.

    Raises:
        StreamNotFound: a segment is not there yet but may come: try the batch again later.
        StreamUnreachable: a server does not answer: the same.
    """
    fetches = [_pool.submit(_fetch, segment, source, policy, now) for segment in segments]
    wait(fetches)  # so that none goes on behind the back of whoever tries the batch again
    return tuple(fetch.result() for fetch in fetches)


def _fetch(segment: Segment, source: SegmentSource, policy: FetchPolicy, now: datetime) -> Fetched:
    try:
        return Fetched(segment, source.get(segment.url, max_bytes=policy.max_bytes))
    except StreamNotFound as error:
        age_s = (now - segment.end_utc).total_seconds()
        if age_s < policy.late_s and not policy.last_try:
            raise StreamNotFound(f"{error}; it ended {age_s:.0f} s ago and may still come: try later") from error
        return Fetched(segment, None, "missing", str(error))
    except StreamUnreachable as error:
        if not policy.last_try:
            raise
        return Fetched(segment, None, "unreachable", str(error))
    except StreamError as error:
        return Fetched(segment, None, "corrupt", str(error))
