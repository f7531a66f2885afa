"""Whatever happens, each segment is sent exactly once, or a gap says why not."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ingest.hls import folder_start_utc
from tests.crashing_documents import Crash, CrashingDocuments
from tests.ingest.desk import Desk, open_desk


def crash_at(desk: Desk, amount: int, step: Callable[[], object]) -> None:
    """Let one step die at its n-th write, before or after that write is done."""
    healthy = desk.documents
    crashing = CrashingDocuments(healthy._database)
    crashing.crash_at, crashing.after = amount, amount % 2 == 0
    desk.documents = crashing
    with suppress(Crash):
        step()
    desk.documents = healthy
    desk.take()


def grow(desk: Desk, amount: int) -> None:
    """Segments are published, and their time passes."""
    desk.node.grow(amount)
    desk.clock.advance(amount * 10.0)


def restart(desk: Desk, amount: int) -> None:
    """The node begins a new folder, some while after the end of the newest one."""
    newest = max(desk.node.durations_s)
    desk.node.restart(newest + len(desk.node.durations_s[newest]) * 11 + amount * 40)
    desk.clock.time = max(desk.clock.time, folder_start_utc(desk.node.latest))


def skip(desk: Desk, amount: int) -> None:
    """A segment yet to come will never be listed."""
    if amount >= len(desk.node.durations_s[desk.node.latest]):
        desk.node.skipped.setdefault(desk.node.latest, set()).add(amount)


def torn(step: Callable[[Desk], object]) -> Callable[[Desk, int], None]:
    """A step that sees every playlist cut short, and a poll that does not: no two readings are torn alike."""

    def happen(desk: Desk, amount: int) -> None:
        desk.node.shown = dict.fromkeys(desk.node.durations_s, amount)
        step(desk)
        desk.node.shown.clear()
        desk.poll()

    return happen


def bogus_pointer(desk: Desk, amount: int) -> None:
    """A poll reads a latest.txt that names a folder nobody made."""
    desk.node.latest, honest = amount, desk.node.latest
    desk.poll()
    desk.node.latest = honest


def stale_pointer(desk: Desk, amount: int) -> None:
    """A cache shows a latest.txt of the last three restarts, for two polls."""
    older = sorted(desk.node.durations_s)[:-1][-3:]
    if older:
        desk.node.latest, honest = older[amount % len(older)], desk.node.latest
        desk.poll_twice()
        desk.node.latest = honest


HAPPENINGS: dict[str, Callable[[Desk, int], object]] = {
    "grow": grow,
    "restart": restart,
    "skip": skip,
    "wait": lambda desk, amount: desk.clock.advance(amount * 50.0),
    "poll": lambda desk, _: desk.poll(),
    "pump": lambda desk, amount: desk.pump(1 + amount % 4),
    "torn poll": torn(Desk.poll),
    "torn pump": torn(Desk.pump),
    "crash in poll": lambda desk, amount: crash_at(desk, 1 + amount % 6, desk.poll),
    "crash in pump": lambda desk, amount: crash_at(desk, 1 + amount % 4, desk.pump),
    "bogus pointer": bogus_pointer,
    "stale pointer": stale_pointer,
}


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(sorted(HAPPENINGS)), st.integers(1, 90)), max_size=30))
def test_whatever_happens_each_segment_is_sent_once_or_told(happenings: list[tuple[str, int]]) -> None:
    """Growth, restarts, crashes at any write, torn playlists, stale pointers: each segment is sent once or in a gap."""
    with open_desk() as desk:
        node = desk.node
        node.grow(1)
        desk.poll()
        for what, amount in happenings:
            HAPPENINGS[what](desk, amount)
        desk.clock.advance(1000.0)
        desk.drain()

        sent = desk.indices
        assert len(sent) == len(set(sent)), "a segment was sent twice"
        assert not set(sent) & desk.told(), "a segment was both sent and told missing"
        assert node.published() <= set(sent) | desk.told(), "a segment was lost in silence"
        for batch in desk.received:
            assert all(a.end_utc <= b.start_utc for a, b in itertools.pairwise(batch.segments))
            assert len(batch.segments) <= 6
        starts = sorted((b.epoch, b.first_index, b.start_utc, b.end_utc) for b in desk.received)
        assert all(a[3] <= b[2] for a, b in itertools.pairwise(starts)), "times do not increase"
