"""The first stage: what is published reaches the queue once, in order, or a gap says why not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import BACKFILLS, CONTAINERS, CURSORS, GAPS, Backfill, Cursor, Gap, SegmentBatch
from shared.errors import StorageError, StreamNotFound, StreamUnreachable
from shared.ingest.backfill import enqueue_backfills, requested
from shared.ingest.batches import Rules
from shared.ingest.enqueue import Backoff, PollReport, enqueue_new_batches
from shared.ingest.hls import folder_start_utc
from shared.storage.local.database import Database
from shared.storage.local.documents import SqliteDocuments
from shared.storage.local.queue import SqliteQueue
from shared.storage.ports import Container, Json, Message
from tests.ingest.sea import EPOCH, HYDROPHONE, Clock, FakeNode

RULES = Rules(stall_s=120.0, far_behind_s=600.0, first_contact_s=3600.0, settle_s=30.0, give_up_s=300.0)


@dataclass
class Desk:
    """A node, a clock and real local storage, polled as the app polls."""

    node: FakeNode
    clock: Clock
    queue: SqliteQueue
    documents: SqliteDocuments
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.0))
    received: list[SegmentBatch] = field(default_factory=list)

    def poll(self) -> PollReport:
        """One tick: live first, then backfills; everything on the queue is taken off it."""
        (report,) = enqueue_new_batches(
            [HYDROPHONE],
            streams=self.node,
            documents=self.documents,
            queue=self.queue,
            rules=RULES,
            now=self.clock,
            backoff=self.backoff,
        )
        self.take()
        return report

    def pump(self, room: int = 4) -> int:
        """One step of every backfill; returns how many batches it sent."""
        reports = enqueue_backfills(
            {HYDROPHONE.id: HYDROPHONE},
            streams=self.node,
            documents=self.documents,
            queue=self.queue,
            room=room,
            now=self.clock,
        )
        self.take()
        return sum(report.sent for report in reports)

    def take(self) -> None:
        """Empty the queue."""
        while delivery := self.queue.receive():
            self.received.append(SegmentBatch.parse(delivery.message.body, source="queue"))
            self.queue.complete(delivery)

    def drain(self) -> None:
        """Poll and pump until nothing more comes."""
        quiet = 0
        for _ in range(400):
            before = len(self.received)
            self.poll()
            self.pump()
            self.clock.advance(RULES.stall_s + 1.0)
            quiet = quiet + 1 if len(self.received) == before and not self.open_backfills() else 0
            if quiet == 3:
                return
        raise AssertionError("the stream never comes to rest")

    def open_backfills(self) -> int:
        """How many backfills are not done."""
        return len(self.documents.query(BACKFILLS, where={"state": "open"}))

    @property
    def gaps(self) -> list[Gap]:
        """Every gap on record, in order of time."""
        return [Gap.model_validate(s.body) for s in self.documents.query(GAPS, order_by="start_utc")]

    @property
    def indices(self) -> list[tuple[int, int]]:
        """(epoch, index) of every segment received, in order of arrival."""
        return [(batch.epoch, segment.index) for batch in self.received for segment in batch.segments]

    def told(self) -> set[tuple[int, int]]:
        """(epoch, index) of every segment named by a gap."""
        return {
            (gap.epoch, index)
            for gap in self.gaps
            if gap.first_index is not None and gap.last_index is not None
            for index in range(gap.first_index, gap.last_index + 1)
        }

    def cursor(self) -> Cursor:
        """The stored cursor."""
        stored = self.documents.get(CURSORS, HYDROPHONE.id, HYDROPHONE.id)
        assert stored is not None
        return Cursor.model_validate(stored.body)


@contextmanager
def open_desk() -> Iterator[Desk]:
    """A desk with storage of its own."""
    clock = Clock()
    with TemporaryDirectory() as folder, Database(Path(folder) / "haro.sqlite") as database:
        queue = SqliteQueue(database, "batches", lock_s=60.0, max_deliveries=5, duplicate_window_s=86_400.0, now=clock)
        yield Desk(FakeNode(), clock, queue, SqliteDocuments(database, CONTAINERS, now=clock))


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A fresh desk."""
    with open_desk() as opened:
        yield opened


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

    desk.poll()

    assert [batch.id for batch in desk.received] == [
        f"test_node/{EPOCH}/0-5",
        f"test_node/{EPOCH}/6-9",
        f"test_node/{EPOCH + 130}/0-5",
    ]
    (gap,) = desk.gaps
    assert gap.reason == "stream_restarted"
    assert (gap.start_utc, gap.end_utc) == (desk.received[1].end_utc, folder_start_utc(EPOCH + 130))


def test_fresh_restart_waits_for_the_old_folders_last_uploads(desk: Desk) -> None:
    """Within settle_s of a restart the old folder may still grow; its tail is not cut off."""
    desk.node.grow(8)
    desk.poll()
    desk.node.restart(EPOCH + 100)
    desk.clock.advance(105)
    desk.poll()
    desk.node.grow(1, epoch=EPOCH)
    desk.clock.advance(30)

    desk.poll()

    assert desk.indices == [(EPOCH, index) for index in range(9)]


def test_folders_that_came_and_went_unseen_are_found_by_listing(desk: Desk) -> None:
    """Two restarts between polls: the folder in the middle is listed, and its audio backfilled."""
    desk.node.grow(6)
    desk.poll()
    for restart, segments in ((EPOCH + 70, 8), (EPOCH + 200, 6)):
        desk.node.restart(restart)
        desk.node.grow(segments)
    desk.clock.advance(300)

    desk.poll()
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

    desk.poll()

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

    desk.poll()

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


def test_missing_latest_is_said_and_others_go_on(desk: Desk) -> None:
    """A hydrophone without latest.txt is reported unreachable; one beside it is served in the same poll."""
    other = HYDROPHONE.model_copy(update={"id": "other_node"})

    class Split(FakeNode):
        def latest_epoch(self, hydrophone: object) -> int:
            if hydrophone is other:
                raise StreamNotFound("other_node/latest.txt is not there")
            return self.latest

    node = Split()
    node.grow(6)
    dead, alive = enqueue_new_batches(
        [other, HYDROPHONE],
        streams=node,
        documents=desk.documents,
        queue=desk.queue,
        rules=RULES,
        now=desk.clock,
        backoff=desk.backoff,
    )

    assert dead.state == "unreachable"
    assert "latest.txt" in dead.message
    assert len(alive.batches) == 1


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
    desk.poll()
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


def test_failing_hydrophone_is_asked_less_and_less_often() -> None:
    """Waits double from the first to the cap, and one success forgets them."""
    backoff, clock = Backoff(first_s=10.0, cap_s=120.0), Clock()
    waits = []
    for _ in range(6):
        backoff.note(PollReport("a", "unreachable"), clock())
        waited = 0
        while not backoff.due("a", clock()):
            clock.advance(1.0)
            waited += 1
        waits.append(waited)

    assert waits == [10, 20, 40, 80, 120, 120]
    backoff.note(PollReport("a", "listening"), clock())
    assert backoff.due("a", clock())


def test_requested_range_takes_whole_batches_under_live_ids(desk: Desk) -> None:
    """A date range is covered by the same batches that live listening would make, so nothing is scored twice."""
    desk.node.grow(60)
    desk.node.restart(EPOCH + 700)
    desk.node.grow(12)
    desk.clock.advance(2000)
    start, end = folder_start_utc(EPOCH + 95), folder_start_utc(EPOCH + 725)

    job = requested(HYDROPHONE, start, end)
    assert desk.documents.create(BACKFILLS, job.to_json())
    while desk.open_backfills():
        desk.pump(room=2)

    ids = [batch.id.split("/", 1)[1] for batch in desk.received]
    assert ids == [*(f"{EPOCH}/{k}-{k + 5}" for k in range(6, 60, 6)), f"{EPOCH + 700}/0-5"]


def test_range_without_audio_is_done_and_says_so(desk: Desk) -> None:
    """A range before the first folder ends at once, with a sentence."""
    desk.node.grow(6)
    job = requested(HYDROPHONE, folder_start_utc(EPOCH - 9000), folder_start_utc(EPOCH - 8000))
    desk.documents.create(BACKFILLS, job.to_json())

    desk.pump()

    (stored,) = desk.documents.query(BACKFILLS)
    done = Backfill.model_validate(stored.body)
    assert (done.state, done.detail) == ("done", "no audio was published in that range")


class Crash(Exception):  # noqa: N818 - stands for the process's end, which is no error of Haro's
    """The process ends here."""


class CrashingDocuments(SqliteDocuments):
    """Local documents whose n-th write is the process's last act: done or not done, as `after` says."""

    writes_left: int
    after: bool

    def _tick(self) -> bool:
        self.writes_left -= 1
        if self.writes_left == 0 and not self.after:
            raise Crash
        return self.writes_left == 0

    def create(self, container: Container, body: Json) -> bool:
        """Create, or crash."""
        last = self._tick()
        written = super().create(container, body)
        if last:
            raise Crash
        return written

    def replace(self, container: Container, body: Json, *, etag: str) -> str:
        """Replace, or crash."""
        last = self._tick()
        written = super().replace(container, body, etag=etag)
        if last:
            raise Crash
        return written


events = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.integers(1, 90)),
        st.tuples(st.just("restart"), st.integers(5, 4000)),
        st.tuples(st.just("wait"), st.integers(1, 5000)),
        st.tuples(st.just("poll"), st.integers(0, 9)),
        st.tuples(st.just("crash"), st.integers(1, 6)),
        st.tuples(st.just("shrink"), st.integers(0, 20)),
        st.tuples(st.just("skip"), st.integers(0, 30)),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(events)
def test_whatever_happens_each_segment_is_sent_once_or_told(happenings: list[tuple[str, int]]) -> None:
    """Growth, restarts, crashes at any write, torn playlists: every segment is sent exactly once or in a gap."""
    with open_desk() as desk:
        node = desk.node
        node.grow(1)
        desk.poll()
        for what, amount in happenings:
            if what == "grow":
                node.grow(amount)
                desk.clock.advance(amount * 10.0)
            elif what == "restart":
                newest = max(node.durations_s)
                node.restart(newest + len(node.durations_s[newest]) * 11 + amount)
                desk.clock.time = max(desk.clock.time, folder_start_utc(node.latest))
            elif what == "wait":
                desk.clock.advance(float(amount))
            elif what == "skip" and amount >= len(node.durations_s[node.latest]):
                node.skipped.setdefault(node.latest, set()).add(amount)
            elif what == "shrink":
                node.shown[node.latest] = amount
                desk.poll()
                node.shown.clear()
            elif what == "crash":
                crash_at(desk, amount)
            elif what == "poll":
                desk.poll()
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


def crash_at(desk: Desk, amount: int) -> None:
    """Let one poll die at its n-th write, before or after that write is done."""
    healthy = desk.documents
    crashing = CrashingDocuments(healthy._database, CONTAINERS, now=desk.clock)
    crashing.writes_left, crashing.after = amount, amount % 2 == 0
    desk.documents = crashing
    try:
        desk.poll()
    except Crash:
        pass
    finally:
        desk.documents = healthy
    desk.take()


def test_two_pollers_at_once_send_each_batch_once(desk: Desk) -> None:
    """Of two pollers that saw the same cursor one wins the write; the other reports it and sends nothing of its own."""
    desk.node.grow(6)
    desk.poll()
    desk.node.grow(7)

    class Racing(SqliteDocuments):
        raced = False

        def replace(self, container: Container, body: Json, *, etag: str) -> str:
            if not self.raced:
                self.raced = True
                desk.poll()
            return super().replace(container, body, etag=etag)

    slow = Racing(desk.documents._database, CONTAINERS, now=desk.clock)
    (report,) = enqueue_new_batches(
        [HYDROPHONE],
        streams=desk.node,
        documents=slow,
        queue=desk.queue,
        rules=RULES,
        now=desk.clock,
        backoff=desk.backoff,
    )
    desk.take()

    assert "another poller" in report.message
    assert [batch.first_index for batch in desk.received] == [0, 6]


def test_crash_between_move_and_send_sends_the_very_same_batch(desk: Desk) -> None:
    """A process that dies after moving the cursor leaves the batch pending; the next poll sends that one first."""

    class DyingQueue:
        def send(self, messages: list[Message]) -> None:
            raise StorageError("the process is gone")

    desk.node.grow(8)
    desk.clock.advance(RULES.stall_s)
    queue, desk.queue = desk.queue, DyingQueue()  # type: ignore[assignment]  # only send is reached
    enqueue_new_batches(
        [HYDROPHONE],
        streams=desk.node,
        documents=desk.documents,
        queue=desk.queue,
        rules=RULES,
        now=desk.clock,
        backoff=desk.backoff,
    )
    desk.queue = queue
    pending = desk.cursor().pending
    assert [batch.last_index for batch in pending] == [5]
    desk.node.grow(10)

    desk.poll()

    assert [batch.id.rsplit("/", 1)[1] for batch in desk.received] == ["0-5", "6-11", "12-17"]
