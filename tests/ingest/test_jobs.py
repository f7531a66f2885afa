"""Backfills of ranges of time: what of a folder they mean, when they are over, and that one stops no other."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from shared.documents import BACKFILLS, Backfill
from shared.errors import StreamUnreachable
from shared.ingest.backfill import LONGEST_RETRY_S, MAX_TRIES, request_backfill
from shared.ingest.hls import Playlist, folder_start_utc
from shared.ingest.jobs import time_range
from tests.ingest.desk import Desk
from tests.ingest.sea import EPOCH, HYDROPHONE


def ask(desk: Desk, start_s: float, end_s: float) -> None:
    """A range is asked for, in seconds since the first sample of folder EPOCH."""
    start = folder_start_utc(EPOCH)
    job = time_range(
        HYDROPHONE.id, start + timedelta(seconds=start_s), start + timedelta(seconds=end_s), reason="requested"
    )
    request_backfill(desk.documents, job)


def pump_on(desk: Desk, times: int, *, wait_s: float = 10.0) -> None:
    """Backfills take one step after another."""
    for _ in range(times):
        desk.pump(100)
        desk.clock.advance(wait_s)


def jobs(desk: Desk) -> list[Backfill]:
    """All jobs, newest sound first."""
    stored = desk.documents.query(BACKFILLS, order_by="start_utc", descending=True)
    return [Backfill.model_validate(one.body) for one in stored]


def test_folder_with_an_odd_name_stops_no_backfill(desk: Desk) -> None:
    """A folder named in milliseconds is no folder of the stream: the range beside it is scored to its end."""
    desk.node.grow(60)
    desk.node.odd_folders = [f"{EPOCH}000", "9" * 30, "old"]
    desk.clock.advance(2000)
    ask(desk, 55, 590)
    pump_on(desk, 5)

    assert [index for _, index in desk.indices] == list(range(60))
    assert desk.open_backfills() == 0


@pytest.mark.parametrize("ahead", [2 * 86_400, 10**9])
def test_folder_of_a_wrong_clock_does_not_end_the_one_in_use(desk: Desk, ahead: int) -> None:
    """A folder that lies in the future does not cut the last minute of the folder in use short."""
    desk.node.grow(57)
    desk.node.durations_s[EPOCH + ahead] = []
    desk.clock.advance(575)
    ask(desk, 485, 573)
    pump_on(desk, 4)
    desk.node.grow(6)
    pump_on(desk, 4)

    assert [batch.id.rsplit("/", 1)[1] for batch in desk.received] == ["48-53", "54-59"]
    assert desk.open_backfills() == 0


def test_range_up_to_now_waits_for_its_last_minutes(desk: Desk) -> None:
    """When all that is listed yet was sent, a range that reaches beyond is open still, and gets what comes."""
    desk.node.grow(60)
    desk.clock.time = folder_start_utc(EPOCH) + timedelta(seconds=640)
    ask(desk, 300, 640)
    pump_on(desk, 4)
    assert desk.indices[-1] == (EPOCH, 59)
    for _ in range(10):
        desk.node.grow(1)
        pump_on(desk, 1)

    assert [index for _, index in desk.indices][-12:] == list(range(54, 66))
    assert desk.open_backfills() == 0


def test_range_beyond_a_stream_that_fell_silent_ends(desk: Desk) -> None:
    """A range of which nothing is listed waits minutes for it, not for ever, and sends nothing else."""
    desk.node.grow(58)
    ask(desk, 700, 900)
    desk.clock.advance(900)
    pump_on(desk, 20)
    assert desk.open_backfills() == 1
    pump_on(desk, 20)

    assert (desk.open_backfills(), desk.received) == (0, [])


def test_range_in_the_pause_between_two_folders_sends_nothing(desk: Desk) -> None:
    """The folder that ended before the range began is looked at, and nothing of it sent."""
    desk.node.grow(58)
    desk.node.restart(EPOCH + 2000)
    desk.node.grow(12)
    desk.clock.advance(2100)
    ask(desk, 700, 900)
    pump_on(desk, 4)

    assert (desk.open_backfills(), desk.received) == (0, [])


def test_stretch_starts_with_tries_of_its_own(desk: Desk) -> None:
    """However long the listing failed, one passing fault of a folder afterwards does not give its stretch up."""
    desk.node.grow(60)
    desk.clock.advance(2000)
    ask(desk, 0, 590)
    desk.node.listing_error = StreamUnreachable("503")
    pump_on(desk, MAX_TRIES - 1, wait_s=LONGEST_RETRY_S)
    desk.node.listing_error = None
    desk.pump()
    desk.node.failing[EPOCH] = StreamUnreachable("503")
    desk.pump()
    desk.node.failing.clear()
    pump_on(desk, 4)

    assert len(desk.indices) == 60
    assert desk.open_backfills() == 0


def test_a_bug_met_at_one_backfill_costs_the_others_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two stretches one fails in a way nobody foresaw: the other is scored; that one is told as a gap in the end."""
    desk.node.grow(12)
    desk.node.restart(EPOCH + 1000)
    desk.node.grow(12)
    desk.clock.advance(2000)
    ask(desk, 0, 1100)
    read = desk.node.playlist

    def fail(hydrophone: object, epoch: int, *, known: tuple[int, datetime] | None = None) -> Playlist:
        if epoch != EPOCH:
            raise KeyError(epoch)
        return read(HYDROPHONE, epoch, known=known)

    monkeypatch.setattr(desk.node, "playlist", fail)
    pump_on(desk, 4)
    assert desk.indices == [(EPOCH, index) for index in range(12)]
    assert desk.open_backfills() == 1
    pump_on(desk, MAX_TRIES, wait_s=LONGEST_RETRY_S)

    failed = next(job for job in jobs(desk) if job.epoch == EPOCH + 1000)
    assert (failed.state, "a bug: KeyError" in failed.detail) == ("done", True)
    assert [gap.detail for gap in desk.gaps if gap.reason == "unreachable"] == [f"a bug: KeyError({EPOCH + 1000})"]
