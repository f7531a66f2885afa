"""Past audio: all of it, once, and never in the way of the newest minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.documents import BACKFILLS, CLIPS, Backfill
from shared.errors import StreamUnreachable
from shared.ingest.backfill import CONFIRM_S, MAX_TRIES, request_backfill
from shared.ingest.hls import folder_start_utc
from shared.ingest.jobs import stretches, time_range
from tests.ingest.desk import RULES, Desk
from tests.ingest.sea import EPOCH, HYDROPHONE


def test_unreadable_old_folder_is_left_to_a_backfill(desk: Desk) -> None:
    """A server fault on the old folder holds up the new one for give_up_s at most; its tail is read later."""
    desk.node.grow(8)
    desk.poll()
    desk.node.restart(EPOCH + 300)
    desk.node.grow(6)
    desk.node.failing[EPOCH] = StreamUnreachable("503")
    desk.clock.advance(400)
    assert desk.poll().state == "unreachable"
    desk.clock.advance(RULES.give_up_s)

    desk.poll()
    assert desk.received[-1].epoch == EPOCH + 300
    del desk.node.failing[EPOCH]
    desk.drain()

    assert sorted(desk.indices) == sorted(desk.node.published())


def far_behind(desk: Desk) -> None:
    """An hour of unread audio, which the next poll turned into a backfill."""
    desk.node.grow(6)
    desk.poll()
    desk.node.grow(6 * 60)
    desk.clock.advance(3600)
    desk.poll()


def test_torn_playlist_does_not_end_a_backfill(desk: Desk) -> None:
    """A backfill that reads a playlist without its end tries again later, and then sends all."""
    far_behind(desk)
    desk.node.shown[EPOCH] = 20
    desk.pump(room=100)
    assert desk.open_backfills() == 1
    desk.node.shown.clear()
    desk.drain()

    assert sorted(desk.indices) == sorted(desk.node.published())


def test_backfill_is_given_up_after_hours_not_minutes(desk: Desk) -> None:
    """A folder that cannot be read keeps its backfill open for hours; only then its time becomes a gap."""
    far_behind(desk)
    desk.pump()
    scored_to = max(batch.end_utc for batch in desk.received if batch.origin == "backfill")
    desk.node.failing[EPOCH] = StreamUnreachable("503")
    for _ in range(5 * 60):
        desk.pump()
        desk.clock.advance(60.0)
    assert desk.open_backfills() == 1
    for _ in range(MAX_TRIES):
        desk.clock.advance(600.0)
        desk.pump()

    assert desk.open_backfills() == 0
    (gap,) = (gap for gap in desk.gaps if gap.reason == "unreachable")
    assert gap.start_utc == scored_to, "what was scored before is no gap"


def test_backfill_of_an_unknown_hydrophone_holds_up_nobody(desk: Desk) -> None:
    """Jobs of hydrophones that are no longer listed stay, and the others' go on."""
    for number in range(6):
        start = folder_start_utc(EPOCH + 10**6 + number)
        job = time_range("gone_node", start, start + timedelta(hours=1), reason="requested")
        request_backfill(desk.documents, job)
    desk.node.grow(24)
    start = folder_start_utc(EPOCH)
    request_backfill(desk.documents, time_range(HYDROPHONE.id, start, start + timedelta(minutes=2), reason="requested"))
    desk.pump()
    desk.pump()

    assert {batch.first_index for batch in desk.received} == {0, 6}


def test_backfill_does_not_score_again_what_a_stalled_stream_gave(desk: Desk) -> None:
    """Where live work cut a batch short, a range over it sends only what no clip holds."""
    desk.node.grow(12)
    for first, last in ((0, 5), (6, 7)):
        record = {"id": f"{HYDROPHONE.id}:{EPOCH}:{first}-{last}", "hydrophone_id": HYDROPHONE.id}
        desk.documents.create(CLIPS, {**record, "start_utc": folder_start_utc(EPOCH + 10 * first).isoformat()})
    start = folder_start_utc(EPOCH)
    request_backfill(desk.documents, time_range(HYDROPHONE.id, start, start + timedelta(minutes=2), reason="requested"))
    desk.pump()
    desk.pump()

    assert [batch.id.rsplit("/", 1)[1] for batch in desk.received] == ["8-11"]


@given(st.sets(st.integers(0, 10_000), max_size=20), st.integers(0, 10_000), st.integers(1, 5000))
def test_range_is_split_at_its_folders(folders: set[int], start: int, length: int) -> None:
    """Every folder that may hold some of the range has one stretch, which knows the folder that came after it."""
    moment = datetime.fromtimestamp(start, tz=UTC)
    job = time_range("n", moment, moment + timedelta(seconds=length), reason="requested")

    parts = stretches(job, folders, now=moment)

    inside = {epoch for epoch in folders if start < epoch < start + length}
    before = {max(epoch for epoch in folders if epoch <= start)} if any(e <= start for e in folders) else set()
    assert {part.epoch for part in parts} == inside | before
    for part in parts:
        later = [epoch for epoch in folders if part.epoch is not None and epoch > part.epoch]
        assert part.next_epoch == min(later, default=None)


def test_requested_range_takes_whole_batches_under_live_ids(desk: Desk) -> None:
    """A date range is covered by the same batches that live listening would make, so nothing is scored twice."""
    desk.node.grow(60)
    desk.node.restart(EPOCH + 700)
    desk.node.grow(12)
    desk.clock.advance(2000)
    start, end = folder_start_utc(EPOCH + 95), folder_start_utc(EPOCH + 725)

    request_backfill(desk.documents, time_range(HYDROPHONE.id, start, end, reason="requested"))
    while desk.open_backfills():
        desk.pump(room=2)
        desk.clock.advance(CONFIRM_S)

    ids = {batch.id.split("/", 1)[1] for batch in desk.received}
    assert ids == {*(f"{EPOCH}/{k}-{k + 5}" for k in range(6, 60, 6)), f"{EPOCH + 700}/0-5"}
    assert len(desk.received) == len(ids)


def test_range_without_audio_is_done_and_says_so(desk: Desk) -> None:
    """A range before the first folder ends at once, with a sentence."""
    desk.node.grow(6)
    start, end = folder_start_utc(EPOCH - 9000), folder_start_utc(EPOCH - 8000)
    request_backfill(desk.documents, time_range(HYDROPHONE.id, start, end, reason="requested"))

    desk.pump()

    (stored,) = desk.documents.query(BACKFILLS)
    done = Backfill.model_validate(stored.body)
    assert (done.state, done.detail) == ("done", "no audio was published in that range")
