"""Fetching a batch's segments."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from shared.documents import Segment
from shared.errors import HaroError, StreamError, StreamNotFound, StreamUnreachable
from shared.scoring.fetch import Fetched, FetchPolicy, fetch_segments

START_UTC = datetime(2026, 3, 20, 12, 0, tzinfo=UTC)
END_UTC = START_UTC + timedelta(seconds=30)
SEGMENTS = tuple(
    Segment(index=i, url=f"http://node/live{i:03d}.ts", start_utc=START_UTC + timedelta(seconds=10 * i), duration_s=10)
    for i in range(3)
)


class FakeSource:
    """A server that has what it is given, or fails as it is told."""

    def __init__(self, answers: Mapping[int, bytes | HaroError]) -> None:
        self.answers = {f"http://node/live{i:03d}.ts": answer for i, answer in answers.items()}

    def get(self, url: str, *, max_bytes: int) -> bytes:
        """The answer for this address."""
        answer = self.answers[url]
        if isinstance(answer, HaroError):
            raise answer
        if len(answer) > max_bytes:
            raise StreamError(f"{url}: larger than the limit of {max_bytes} bytes")
        return answer


def fetch(
    answers: Mapping[int, bytes | HaroError], *, after_s: float = 0.0, last_try: bool = False
) -> tuple[Fetched, ...]:
    """Fetch so long after the end of the last segment."""
    policy = FetchPolicy(late_s=60, max_bytes=1_000, last_try=last_try)
    return fetch_segments(SEGMENTS, FakeSource(answers), policy, now=END_UTC + timedelta(seconds=after_s))


def test_segments_come_in_their_order() -> None:
    """What is fetched at once is handed on in the order of the batch."""
    fetched = fetch({0: b"a", 1: b"b", 2: b"c"})

    assert [one.data for one in fetched] == [b"a", b"b", b"c"]
    assert tuple(one.segment for one in fetched) == SEGMENTS
    assert {one.reason for one in fetched} == {None}


def test_segments_are_fetched_at_once() -> None:
    """No segment waits for another: a server that answers only when all have asked answers all."""
    everybody_asked = threading.Barrier(3, timeout=10)

    class Patient:
        def get(self, url: str, *, max_bytes: int) -> bytes:
            everybody_asked.wait()
            return url.encode()

    fetched = fetch_segments(SEGMENTS, Patient(), FetchPolicy(60, 1_000), now=END_UTC)

    assert all(one.data for one in fetched)


def test_a_late_upload_is_waited_for() -> None:
    """A segment that is not there, but ended only just now, puts the batch back."""
    with pytest.raises(StreamNotFound, match="may still come"):
        fetch({0: b"a", 1: b"b", 2: StreamNotFound("live002.ts: HTTP 404")}, after_s=59)


def test_what_is_long_overdue_is_missing() -> None:
    """A segment that is still not there late_s after its end is a gap, and the others are kept."""
    fetched = fetch({0: b"a", 1: b"b", 2: StreamNotFound("live002.ts: HTTP 404")}, after_s=60)

    assert [one.data for one in fetched] == [b"a", b"b", None]
    assert (fetched[2].reason, fetched[2].detail) == ("missing", "live002.ts: HTTP 404")


def test_a_server_that_fails_is_tried_again_later() -> None:
    """However old the segment is, a passing fault is no reason to give it up."""
    with pytest.raises(StreamUnreachable):
        fetch({0: b"a", 1: StreamUnreachable("HTTP 503"), 2: b"c"}, after_s=86_400)


def test_the_last_try_waits_for_nothing() -> None:
    """When the message will not come again, what cannot be had is a gap with its reason, and the rest is kept."""
    answers: dict[int, bytes | HaroError] = {0: StreamUnreachable("HTTP 503"), 1: StreamNotFound("HTTP 404"), 2: b"c"}

    fetched = fetch(answers, last_try=True)

    assert [one.reason for one in fetched] == ["unreachable", "missing", None]
    assert fetched[2].data == b"c"


def test_an_answer_that_is_no_segment_is_corrupt() -> None:
    """Too many bytes, or an answer that makes no sense, cost that segment alone and at once."""
    fetched = fetch({0: bytes(2_000), 1: StreamError("HTTP 418"), 2: b"c"})

    assert [one.reason for one in fetched] == ["corrupt", "corrupt", None]
    assert "limit of 1000 bytes" in fetched[0].detail
