"""The first stage when a stream, the store, another poller or the process itself gets in its way."""

from __future__ import annotations

import pytest

from shared.documents import CONTAINERS
from shared.errors import PlaylistError, StorageError, StreamError, StreamNotFound, StreamUnreachable
from shared.ingest.enqueue import Backoff, PollReport, PollState, enqueue_new_batches
from shared.storage.local.documents import SqliteDocuments
from shared.storage.ports import Container, Json, Message, Stored
from tests.ingest.desk import RULES, Desk
from tests.ingest.sea import HYDROPHONE, Clock, FakeNode


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


@pytest.mark.parametrize(
    ("fault", "state", "message"),
    [
        (StreamUnreachable("latest.txt: status 503"), "unreachable", "latest.txt: status 503"),
        (PlaylistError("live.m3u8 is no playlist"), "unreachable", "live.m3u8 is no playlist"),
        (StorageError("the disk is full"), "failed", "the disk is full"),
        (KeyError("epoch"), "failed", "a bug: KeyError('epoch')"),
    ],
    ids=["stream", "playlist", "store", "bug"],
)
def test_a_failed_poll_says_whose_fault_it_was_and_waits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, fault: Exception, state: PollState, message: str
) -> None:
    """The stream's fault or Haro's own, the hydrophone is left alone for a while, and then heard as if nothing was."""

    def fail(*_: object) -> None:
        raise fault

    desk.backoff = Backoff(first_s=10.0)
    desk.node.grow(6)
    with monkeypatch.context() as patch:
        if isinstance(fault, StreamError):
            patch.setattr(desk.node, "latest_epoch", fail)
        else:
            patch.setattr(desk.documents, "get", fail)
        report = desk.poll()

    assert (report.state, report.message, report.batches) == (state, message, ())
    assert desk.poll().state == "postponed"
    desk.clock.advance(10)
    assert desk.poll().state == "listening"
    assert len(desk.received) == 1


def test_a_store_that_fails_for_one_hydrophone_costs_the_others_nothing(desk: Desk) -> None:
    """Of two hydrophones the one whose cursor cannot be read has failed; the other is served in the same poll."""
    other = HYDROPHONE.model_copy(update={"id": "other_node"})

    class Spoiled(SqliteDocuments):
        def get(self, container: Container, partition: str, doc_id: str) -> Stored | None:
            if partition == other.id:
                raise StorageError("the page is malformed")
            return super().get(container, partition, doc_id)

    desk.node.grow(6)
    failed, alive = enqueue_new_batches(
        [other, HYDROPHONE],
        streams=desk.node,
        documents=Spoiled(desk.documents._database, CONTAINERS, now=desk.clock),
        queue=desk.queue,
        rules=RULES,
        now=desk.clock,
        backoff=desk.backoff,
    )

    assert (failed.state, failed.message) == ("failed", "the page is malformed")
    assert len(alive.batches) == 1


@pytest.mark.parametrize("state", ["unreachable", "failed"])
def test_failing_hydrophone_is_asked_less_and_less_often(state: PollState) -> None:
    """Waits double from the first to the cap, and one success forgets them."""
    backoff, clock = Backoff(first_s=10.0, cap_s=120.0), Clock()
    waits = []
    for _ in range(6):
        backoff.note(PollReport("a", state), clock())
        waited = 0
        while not backoff.due("a", clock()):
            clock.advance(1.0)
            waited += 1
        waits.append(waited)

    assert waits == [10, 20, 40, 80, 120, 120]
    backoff.note(PollReport("a", "listening"), clock())
    assert backoff.due("a", clock())


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
