"""Two hundred hydrophones at once; `python -m tests.cloud.scale` measures a whole hour (docs/scale.md)."""

from __future__ import annotations

import gc

import pytest

from shared.documents.base import Document

pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")

from tests.cloud.scale import TICK_S, report, scale

HYDROPHONES = 200
MINUTES = 3
REQUESTS_PER_POLL = 2  # the cursor is read, and written when the playlist grew
REQUESTS_PER_BATCH = 2  # it is written down as sent, and struck off the cursor
REQUESTS_PER_GAP = 4  # it is written, and the cursor moves to another folder
REQUESTS_AT_FIRST = 2  # the first cursor is created, and read


def documents_alive() -> int:
    """How many of Haro's documents (segments, batches, cursors, gaps) this process holds."""
    gc.collect()
    return sum(issubclass(type(one), Document) for one in gc.get_objects())  # isinstance would ask proxies, which warn


def test_two_hundred_hydrophones_are_polled_every_tick(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """What is due in a tick is sent in it, once, in few requests, and nothing made for it outlives it.

    One hydrophone in twenty is dead, one stands still for a while, two restart. What does outlive a tick, 12 bytes for
    each segment of a folder, is weighed in tests/ingest/test_reading.py.
    """
    alive = documents_alive()
    with scale(HYDROPHONES, minutes=MINUTES) as run:
        steady, living = run.sea.living("steady"), len(run.sea.living())
        for number in range(int(MINUTES * 60 / TICK_S)):
            tick = run.tick()

            due = {(name, *segment) for name, node in steady.items() for segment in node.due(run.sea.now_s)}
            assert {segment for segment in run.sent if segment[0] in steady} == due
            assert tick.states["listening"] + tick.states["stalled"] == living
            assert tick.requests <= (
                REQUESTS_PER_POLL * tick.polls
                + REQUESTS_PER_BATCH * tick.batches
                + REQUESTS_PER_GAP * tick.gaps
                + REQUESTS_AT_FIRST * living * (number == 0)
            )
            assert documents_alive() == alive
        run.check()

    assert not [one for one in caplog.messages if "pool is full" in one], "connections are made and thrown away"
    assert sum(tick.gaps for tick in run.ticks) >= len(run.sea.living("restarting"))
    assert any(tick.states["stalled"] for tick in run.ticks)
    assert run.ticks[0].states["unreachable"] == HYDROPHONES - living
    with capsys.disabled():
        print(f"\n{report(run)}")  # noqa: T201 - the figures of this machine
