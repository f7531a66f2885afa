"""The first stage: what is published reaches the queue once, in order, or a gap says why not."""

from __future__ import annotations

from shared.errors import StreamNotFound, StreamUnreachable
from shared.ingest.hls import folder_start_utc
from tests.ingest.desk import RULES, Desk
from tests.ingest.sea import EPOCH


def test_six_segments_make_a_batch_and_the_seventh_waits(desk: Desk) -> None:
    """A batch goes out when its six segments are listed, not before."""
    desk.node.grow(5)
    desk.poll()
    assert desk.received == []

    desk.node.grow(2)
    report = desk.poll()

    assert [batch.id for batch in desk.received] == [f"test_node/{EPOCH}/0-5"]
    assert report.state == "listening"
    assert desk.received[0].start_utc == folder_start_utc(EPOCH)


def test_polling_again_sends_nothing_new(desk: Desk) -> None:
    """A poll that finds nothing new puts nothing on the queue."""
    desk.node.grow(6)
    desk.poll()
    desk.poll()

    assert len(desk.received) == 1


def test_old_folder_is_read_to_its_end_before_the_new_one(desk: Desk) -> None:
    """At a restart the old folder's tail becomes a shorter batch, then a gap up to the new folder, then that folder."""
    desk.node.grow(6)
    desk.poll()
    desk.node.grow(4)
    desk.node.restart(EPOCH + 130)
    desk.node.grow(7)
    desk.clock.advance(130 + 75)

    desk.poll_twice()

    assert [batch.id for batch in desk.received] == [
        f"test_node/{EPOCH}/0-5",
        f"test_node/{EPOCH}/6-9",
        f"test_node/{EPOCH + 130}/0-5",
    ]
    (gap,) = desk.gaps
    assert gap.reason == "stream_restarted"
    assert (gap.start_utc, gap.end_utc) == (desk.received[1].end_utc, folder_start_utc(EPOCH + 130))


def test_fresh_restart_waits_for_the_old_folders_last_uploads(desk: Desk) -> None:
    """Until the new folder lists a second segment the old one may still grow; its tail is not cut off."""
    desk.node.grow(8)
    desk.poll()
    desk.node.restart(EPOCH + 100)
    desk.node.grow(1)
    desk.clock.advance(15)
    desk.poll()
    desk.node.grow(1, epoch=EPOCH)
    desk.node.grow(1)
    desk.clock.advance(15)

    desk.poll_twice()

    assert desk.indices == [(EPOCH, index) for index in range(9)]


def test_folders_that_came_and_went_unseen_are_found_by_listing(desk: Desk) -> None:
    """Two restarts between polls: the folder in the middle is listed, and its audio backfilled."""
    desk.node.grow(6)
    desk.poll()
    for restart, segments in ((EPOCH + 70, 8), (EPOCH + 200, 6)):
        desk.node.restart(restart)
        desk.node.grow(segments)
    desk.clock.advance(300)

    desk.poll_twice()
    live = list(desk.received)
    desk.drain()

    assert [batch.epoch for batch in live] == [EPOCH, EPOCH + 200]
    assert set(desk.indices) == desk.node.published()
    assert len(desk.indices) == len(set(desk.indices))


def test_unlisted_folder_is_told_as_a_gap(desk: Desk) -> None:
    """Where the server lists nothing, the time between the known folders is a gap rather than silence."""
    desk.node.lists_folders = False
    desk.node.grow(6)
    desk.poll()
    desk.node.restart(EPOCH + 500)
    desk.node.grow(6)
    desk.clock.advance(600)

    desk.poll_twice()

    assert [(gap.reason, gap.end_utc) for gap in desk.gaps] == [("stream_restarted", folder_start_utc(EPOCH + 500))]


def test_vanished_folder_is_a_gap_and_listening_goes_on(desk: Desk) -> None:
    """An old folder whose playlist is gone before its tail was read is told, and does not hold up the new one."""
    desk.node.grow(8)
    desk.poll()
    desk.node.restart(EPOCH + 300)
    desk.node.grow(6)
    desk.node.failing[EPOCH] = StreamNotFound("gone")
    desk.clock.advance(400)

    desk.poll()

    assert [gap.reason for gap in desk.gaps] == ["folder_gone"]
    assert desk.received[-1].epoch == EPOCH + 300


def test_playlist_that_shrinks_loses_nothing(desk: Desk) -> None:
    """A playlist that lost its end for a moment is waited for, even across a restart."""
    desk.node.grow(10)
    desk.poll()
    desk.node.shown[EPOCH] = 3
    desk.poll()
    desk.node.restart(EPOCH + 200)
    desk.node.grow(6)
    desk.clock.advance(300)
    assert desk.poll().state == "unreachable"
    del desk.node.shown[EPOCH]

    desk.poll_twice()

    assert sorted(desk.indices) == sorted(desk.node.published())


def test_far_behind_moves_to_the_present_at_once(desk: Desk) -> None:
    """After hours away the newest whole minute is sent first; what was missed follows as a bounded backfill."""
    desk.node.grow(6)
    desk.poll()
    desk.node.grow(6 * 120)
    desk.clock.advance(7200)

    desk.poll()
    newest = desk.received[-1]
    first_pump = desk.pump(room=4)

    assert newest.last_index == 6 * 121 - 1
    assert len(desk.received) == 2 + 4
    assert first_pump == 4
    desk.drain()
    assert sorted(desk.indices) == sorted(desk.node.published())
    assert {batch.origin for batch in desk.received} == {"live", "backfill"}


def test_first_contact_takes_the_last_hour_and_tells_of_the_rest(desk: Desk) -> None:
    """At a stream that has run for hours, the last hour is scored and what came before is a gap, not a silence."""
    desk.node.grow(6 * 180)
    desk.clock.advance(6 * 180 * 10)

    desk.drain()

    (gap,) = desk.gaps
    assert gap.reason == "before_first_contact"
    assert 3600 <= sum(s.duration_s for b in desk.received for s in b.segments) <= 3600 + 121
    assert set(desk.indices) | desk.told() == desk.node.published()
    assert not set(desk.indices) & desk.told()


def test_missing_playlist_is_waited_for(desk: Desk) -> None:
    """latest.txt set, playlist not there yet: no error, no batch, and all is well once it comes."""
    assert desk.poll().state == "waiting"

    desk.node.grow(6)
    desk.poll()

    assert len(desk.received) == 1


def test_stalled_stream_gives_its_tail_once(desk: Desk) -> None:
    """A node that falls silent has its last minute scored after stall_s; when it goes on, nothing is sent twice."""
    desk.node.grow(8)
    desk.poll()
    desk.clock.advance(RULES.stall_s)
    assert desk.poll().state == "stalled"
    desk.poll()
    desk.node.grow(5)
    desk.poll()

    assert [batch.id.rsplit("/", 1)[1] for batch in desk.received] == ["0-5", "6-7", "8-11"]


def test_stale_pointer_back_to_a_finished_folder_is_no_restart(desk: Desk) -> None:
    """A cached latest.txt that shows the old folder again sends nothing again and says so."""
    desk.node.grow(6)
    desk.poll()
    desk.node.restart(EPOCH + 100)
    desk.node.grow(6)
    desk.clock.advance(300)
    desk.poll_twice()
    desk.node.latest = EPOCH

    report = desk.poll()

    assert len(desk.received) == 2
    assert "points back" in report.message


def test_ended_stream_gives_its_tail_at_once(desk: Desk) -> None:
    """EXT-X-ENDLIST closes a folder: the tail does not wait."""
    desk.node.grow(8)
    desk.node.closed.add(EPOCH)

    assert desk.poll().state == "ended"
    assert desk.indices == [(EPOCH, index) for index in range(8)]


def test_wrong_pointer_moves_nothing(desk: Desk) -> None:
    """A latest.txt that names a folder without a playlist is waited out in the folder that still grows."""
    desk.node.grow(6)
    desk.poll()
    desk.node.latest = EPOCH // 100
    desk.node.grow(6, epoch=EPOCH)
    report = desk.poll()
    desk.node.latest = EPOCH
    desk.node.grow(6)
    desk.poll()

    assert [batch.first_index for batch in desk.received] == [0, 6, 12]
    assert "points back" in report.message
    assert desk.gaps == []


def test_node_with_a_wrong_clock_brings_no_flood_of_old_audio(desk: Desk) -> None:
    """A folder named after another time is read, and when the clock is right again nothing old is dug up."""
    for old in range(EPOCH - 40 * 86_400, EPOCH, 86_400):
        desk.node.durations_s[old] = [10.0] * 12
    desk.node.grow(6)
    desk.poll()
    desk.drain()
    before = len(desk.received)
    desk.node.restart(EPOCH - 10**8)
    desk.node.grow(6)
    desk.clock.advance(100)
    desk.poll_twice()
    desk.node.restart(EPOCH + 3600)
    desk.node.grow(6)
    desk.clock.advance(3600)
    desk.drain()

    assert [batch.epoch for batch in desk.received[before:]] == [EPOCH - 10**8, EPOCH + 3600]
    assert all(gap.duration_s < 2 * 86_400 for gap in desk.gaps)


def test_listing_that_fails_for_a_moment_loses_no_folder(desk: Desk) -> None:
    """Folders that came and went unseen are found even when the first listing meets a passing fault."""
    desk.node.grow(6)
    desk.poll()
    for restart in (EPOCH + 100, EPOCH + 300):
        desk.node.restart(restart)
        desk.node.grow(12)
    desk.clock.advance(500)
    desk.node.listing_error = StreamUnreachable("503")
    assert desk.poll().state == "unreachable"
    desk.node.listing_error = None
    desk.drain()

    assert sorted(desk.indices) == sorted(desk.node.published())
