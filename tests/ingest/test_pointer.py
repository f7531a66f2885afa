"""A latest.txt that points back: a stale one leads nowhere for long, a node whose clock was set back is followed."""

from __future__ import annotations

from shared.ingest.hls import folder_start_utc
from tests.ingest.desk import RULES, Desk
from tests.ingest.sea import EPOCH

OLD = EPOCH - 21_600


def live_on(desk: Desk, segments: int, *, epoch: int) -> None:
    """A folder grows by a segment every ten seconds, and each is seen by a poll."""
    for _ in range(segments):
        desk.node.grow(1, epoch=epoch)
        desk.clock.advance(10.0)
        desk.poll()


def first_contact(desk: Desk) -> None:
    """Haro meets a node that has had one folder before."""
    desk.node.grow(2100, epoch=OLD)
    desk.node.grow(12)
    desk.clock.advance(130)
    desk.poll()


def test_folder_that_grows_is_not_left_for_an_older_one(desk: Desk) -> None:
    """A stale latest.txt soon after first contact moves nothing: the folder in use is heard on meanwhile."""
    first_contact(desk)
    desk.node.latest = OLD
    live_on(desk, 30, epoch=EPOCH)

    assert {batch.epoch for batch in desk.received} == {EPOCH}
    assert len(desk.indices) == 42
    assert "points back" in desk.poll().message


def test_folder_left_by_mistake_is_read_on_where_it_was_left(desk: Desk) -> None:
    """A stale pointer met while the node is silent leads away; once it is right, nothing was lost or sent twice."""
    first_contact(desk)
    live_on(desk, 2, epoch=EPOCH)
    desk.clock.advance(RULES.stall_s)
    desk.poll()
    desk.node.latest = OLD
    desk.poll_twice()
    assert desk.cursor().epoch == OLD
    desk.node.latest = EPOCH
    live_on(desk, 40, epoch=EPOCH)
    live_on(desk, 4, epoch=EPOCH)
    desk.drain()

    in_use = [index for epoch, index in desk.indices if epoch == EPOCH]
    assert sorted(in_use) == list(range(12 + 2 + 40 + 4))
    assert desk.cursor().epoch == EPOCH
    assert [gap.reason for gap in desk.gaps if gap.end_utc > folder_start_utc(EPOCH)] == []


def test_folder_left_for_a_newer_one_by_mistake_is_read_on(desk: Desk) -> None:
    """A folder from a time when the node's clock ran ahead, named by a stale pointer, does not make Haro deaf."""
    ahead = EPOCH + 10**8
    desk.node.grow(12, epoch=ahead)
    desk.node.grow(12)
    desk.poll()
    desk.node.latest = ahead
    desk.poll_twice()
    assert desk.cursor().epoch == ahead
    desk.node.latest = EPOCH
    live_on(desk, 42, epoch=EPOCH)

    assert [index for epoch, index in desk.indices if epoch == EPOCH] == list(range(54))


def test_node_whose_clock_was_set_back_is_followed(desk: Desk) -> None:
    """A new folder with an older name is listened to once the one before has been silent for stall_s."""
    first_contact(desk)
    live_on(desk, 5, epoch=EPOCH)
    set_back = EPOCH - 3600
    desk.node.restart(set_back)
    live_on(desk, 30, epoch=set_back)

    assert desk.cursor().epoch == set_back
    assert [index for epoch, index in desk.indices if epoch == set_back] == list(range(30))
    assert (EPOCH, 16) in desk.indices, "the tail of the folder before"


def test_restarts_after_a_wrong_clock_lose_nothing(desk: Desk) -> None:
    """A folder from the future, once the clock is right again, hides no folder that came and went, and no silence."""
    first_contact(desk)
    live_on(desk, 10, epoch=EPOCH)
    for epoch, segments in ((EPOCH + 10**8, 30), (EPOCH + 600, 60)):
        desk.node.restart(epoch)
        live_on(desk, segments, epoch=epoch)
    missed = int(desk.clock().timestamp()) + 300
    desk.node.restart(missed)
    desk.node.grow(60, epoch=missed)
    desk.clock.advance(1500)
    now = int(desk.clock().timestamp())
    desk.node.restart(now)
    live_on(desk, 40, epoch=now)
    desk.drain()

    assert unaccounted(desk) == set()
    assert max(gap.end_utc for gap in desk.gaps) <= desk.clock()
    assert any(gap.end_utc == folder_start_utc(missed) for gap in desk.gaps)


def test_folders_missed_by_a_clock_set_back_are_read(desk: Desk) -> None:
    """Among folders with older names, too, one that came and went becomes a backfill."""
    first_contact(desk)
    live_on(desk, 10, epoch=EPOCH)
    set_back = EPOCH - 15_000
    for epoch, segments in ((set_back, 60), (set_back + 700, 40)):
        desk.node.restart(epoch)
        live_on(desk, segments, epoch=epoch)
    desk.node.restart(set_back + 1200)
    desk.node.grow(10, epoch=set_back + 1200)
    desk.node.restart(set_back + 1350)
    live_on(desk, 40, epoch=set_back + 1350)
    desk.drain()

    assert unaccounted(desk) == set()


def test_a_missed_folder_before_a_wrong_clock_is_read_to_its_end(desk: Desk) -> None:
    """The folder from the future ends no range years ahead: what was missed is scored, and nothing stays open."""
    first_contact(desk)
    live_on(desk, 10, epoch=EPOCH)
    missed = int(desk.clock().timestamp()) + 100
    desk.node.restart(missed)
    desk.node.grow(65, epoch=missed)
    desk.clock.advance(800)
    ahead = EPOCH + 10**8
    desk.node.restart(ahead)
    live_on(desk, 30, epoch=ahead)
    desk.drain()
    desk.node.restart(int(desk.clock().timestamp()))
    for _ in range(20):
        desk.clock.advance(60)
        desk.poll()
    desk.drain()

    assert unaccounted(desk) == set()
    assert desk.open_backfills() == 0


def unaccounted(desk: Desk) -> set[tuple[int, int]]:
    """Segments since first contact that were neither sent nor told of."""
    return {one for one in desk.node.published() - set(desk.indices) - desk.told() if one[0] != OLD}
