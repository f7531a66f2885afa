"""The three stages in one process: everything twice changes nothing, and nothing that goes wrong stops the rest."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from shared.deliveries import SetAside
from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import DETECTIONS, SegmentBatch
from shared.errors import StorageError
from shared.house import House
from shared.ingest.enqueue import PollReport
from shared.recording.outbox import Delivered
from shared.runner import Event, Runner
from shared.scoring.score import ScoredClip
from shared.storage.ports import Message
from tests.clock import FakeClock
from tests.house import HEARD_UTC, fail_with, fake_detector, once_failing, open_test_house, publish
from tests.pipeline import EPOCHS, Leftovers, leftovers
from tests.recording.servers import http_server
from tests.scoring.fakes import FakeDetector

IDLE_S = 0.3
BATCHES = (f"test_node/{EPOCHS[0]}/0-5", f"test_node/{EPOCHS[0]}/6-8")
ALL_NINE = {("test_node", EPOCHS[0], index): 1 for index in range(9)}


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    """A model that hears nothing until a test gives it other scores; second tries come at once."""
    monkeypatch.setattr("shared.deliveries._FIRST_RETRY_S", 0.01)
    return fake_detector(monkeypatch, 0.1)


def run_until_idle(house: House) -> list[Event]:
    """Run the house until its streams are at rest, and return all that happened."""
    events: list[Event] = []
    Runner(house, tell=events.append, idle_s=IDLE_S).run()
    return events


def of_kind(events: list[Event], kind: type[Any]) -> list[Any]:
    """The events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def go_through(node: Node, data: Path, port: int, *, times: int) -> Leftovers:
    """Call each stage by hand with every message, so many times, on a clock that stands still."""
    settings = {"moderator_channels": f"json://127.0.0.1:{port}/hook"}
    with open_test_house(data, node, now=FakeClock(HEARD_UTC), **settings) as house:
        batches: dict[str, SegmentBatch] = {}
        for _ in range(times):
            house.poll()
            while delivery := house.storage.batches.receive():
                batches[delivery.message.id] = SegmentBatch.parse(delivery.message.body, source="message")
                house.storage.batches.complete(delivery)
        results = [house.score(batch, last_try=False) for batch in batches.values() for _ in range(times)]
        assert sum(scored.fresh for scored in results) == len(batches) == 2
        for scored in results:
            for _ in range(times):
                house.record(scored.result_blob)
        for _ in range(times):
            house.deliver(hold_nothing_back=True)
    return leftovers(data)


def test_every_message_twice_makes_no_difference(station: Station, detector: FakeDetector, tmp_path: Path) -> None:
    """Polled, scored, recorded and delivered twice: the same documents, blobs and notices as once."""
    detector.scores = (0.9,)
    node = publish(station, 9)

    with http_server() as people:
        once = go_through(node, tmp_path / "once", people.port, times=1)
        told_once = [request[2]["message"] for request in people.requests]
        people.requests.clear()
        twice = go_through(node, tmp_path / "twice", people.port, times=2)
        told_twice = [request[2]["message"].replace("/twice/", "/once/") for request in people.requests]

    assert twice.lasting() == once.lasting()
    assert len(once.documents[DETECTIONS.name]) == 2
    assert once.accounted() == ALL_NINE
    assert told_twice == told_once
    assert told_once


def test_a_stream_is_worked_through_and_the_run_ends(station: Station, tmp_path: Path) -> None:
    """Left alone, the runner scores and records all there is, tells of it, and ends when nothing more comes."""
    node = publish(station, 9)

    with open_test_house(tmp_path / "data", node) as house:
        events = run_until_idle(house)

    assert sorted(scored.result.batch_id for scored in of_kind(events, ScoredClip)) == sorted(BATCHES)
    assert isinstance(events[-1], Delivered), "what would have waited for the bout's next update is told at the end"
    after = leftovers(tmp_path / "data")
    assert after.accounted() == ALL_NINE
    assert len(after.documents["clips"]) == 2


def test_what_cannot_be_understood_is_set_aside(station: Station, tmp_path: Path) -> None:
    """A batch that is none and a result that is none go to the dead letters with their reasons; the rest goes on."""
    node = publish(station, 9)

    with open_test_house(tmp_path / "data", node) as house:
        house.storage.batches.send([Message("rubbish", "{"), Message("half", '{"hydrophone_id": "test_node"}')])
        house.storage.blobs.put("results/broken.json", b"[]")
        house.storage.queues["results"].send([Message("broken", "results/broken.json")])
        events = run_until_idle(house)
        dead = {letter.message.id: letter.reason for letter in house.storage.batches.dead_letters()}
        dead |= {letter.message.id: letter.reason for letter in house.storage.queues["results"].dead_letters()}

    assert dead["rubbish"].startswith("message rubbish is not a valid SegmentBatch: document: Invalid JSON")
    assert "epoch: Field required" in dead["half"]
    assert dead["broken"].startswith("results/broken.json is not a valid ClipResult")
    assert {event.message_id: event.reason for event in of_kind(events, SetAside)} == dead
    assert len(of_kind(events, ScoredClip)) == 2


def test_a_bug_met_by_one_message_stops_no_other(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error nobody foresaw is logged with its traceback and tried again, then set aside; the others are scored."""
    node = publish(station, 9)

    with open_test_house(tmp_path / "data", node, max_deliveries=3) as house:
        tries: list[bool] = []

        def broken(batch: SegmentBatch, *, last_try: bool) -> ScoredClip:
            if batch.id != BATCHES[0]:
                return House.score(house, batch, last_try=last_try)
            tries.append(last_try)
            raise ZeroDivisionError("nobody thought of this")

        monkeypatch.setattr(house, "score", broken)
        events = run_until_idle(house)
        (dead,) = house.storage.batches.dead_letters()

    assert tries == [False, False, True], "the last delivery is told that it is the last"
    assert (dead.message.id, dead.reason) == (BATCHES[0], "ZeroDivisionError: nobody thought of this")
    assert of_kind(events, SetAside) == [SetAside(dead.message.id, dead.reason)]
    assert [scored.result.batch_id for scored in of_kind(events, ScoredClip)] == [BATCHES[1]]
    bugs = [record for record in caplog.records if record.message == f"a bug, met with message {BATCHES[0]}"]
    assert len(bugs) == 3
    assert all(record.exc_info for record in bugs)


def test_a_dead_letter_replayed_is_done(station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was set aside can be put back, and then comes out as if nothing had happened."""
    node = publish(station, 9)

    with open_test_house(tmp_path / "data", node, max_deliveries=1) as house:
        with monkeypatch.context() as patched:
            patched.setattr(house, "score", fail_with(ZeroDivisionError("a bug")))
            run_until_idle(house)
        assert house.storage.batches.replay(BATCHES) == 2
        run_until_idle(house)

    after = leftovers(tmp_path / "data")
    assert after.accounted() == ALL_NINE
    assert len(after.documents["clips"]) == 2


def test_a_lock_lost_on_the_way_changes_nothing(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A batch that took longer than its lock is taken up by the next delivery, which finds it done."""
    node = publish(station, 6)

    with open_test_house(tmp_path / "data", node) as house:

        def slow(batch: SegmentBatch, *, last_try: bool) -> ScoredClip:
            scored = House.score(house, batch, last_try=last_try)
            if scored.fresh:
                house.storage.take_over()
            return scored

        monkeypatch.setattr(house, "score", slow)
        events = run_until_idle(house)
        assert house.storage.batches.stats().dead == 0

    assert [scored.fresh for scored in of_kind(events, ScoredClip)] == [True, False]
    assert "took longer than its lock" in caplog.text
    assert len(leftovers(tmp_path / "data").documents["clips"]) == 1


def test_one_dead_hydrophone_does_not_keep_it_running(station: Station, tmp_path: Path) -> None:
    """A stream that never answers counts as at rest: the run ends, and the living one is scored whole."""
    alive = publish(station, 9)
    station.fail("dead_node/*", 503, times=None)

    with open_test_house(tmp_path / "data", Node(station, "dead_node"), alive) as house:
        events = run_until_idle(house)

    states = {report.state for report in of_kind(events, PollReport) if report.hydrophone_id == "dead_node"}
    assert "unreachable" in states
    assert states <= {"unreachable", "postponed"}
    assert leftovers(tmp_path / "data").accounted() == ALL_NINE


def test_a_full_disk_costs_clips_without_calls_and_nothing_else(
    station: Station, detector: FakeDetector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Below the reserve a clip without a call is not kept, which is said aloud; its result is."""
    detector.scores = (0.1,)
    node = publish(station, 6)

    with open_test_house(tmp_path / "data", node, min_free_gb=1e9) as house:
        run_until_idle(house)

    after = leftovers(tmp_path / "data")
    (result,) = after.results
    assert (result.detected, result.audio_blob) == (False, None)
    assert result.not_kept_because
    assert [name for name in after.blobs if not name.startswith("results/")] == []
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert any("short of HARO_MIN_FREE_GB" in error for error in errors)
    assert any("is not kept" in error for error in errors)


def test_a_full_disk_keeps_detections_and_tells_people(
    station: Station, detector: FakeDetector, tmp_path: Path
) -> None:
    """The reserve is there for what must be kept: a detection's sound and picture are written, and people are told."""
    detector.scores = (0.9,)
    node = publish(station, 6)

    with http_server() as people:
        channel = f"json://127.0.0.1:{people.port}/hook"
        with open_test_house(tmp_path / "data", node, min_free_gb=1e9, moderator_channels=channel) as house:
            run_until_idle(house)
        assert len(people.requests) == 1

    (result,) = leftovers(tmp_path / "data").results
    assert result.audio_blob
    assert result.image_blob


def test_stop_ends_it(station: Station, tmp_path: Path) -> None:
    """A runner without an idle time goes on until it is stopped, from whichever thread, and then ends at once."""
    node = publish(station, 6)
    polled_often = threading.Event()
    polls: list[PollReport] = []

    def tell(event: Event) -> None:
        if isinstance(event, PollReport):
            polls.append(event)
            if len(polls) == 5:
                polled_often.set()

    with open_test_house(tmp_path / "data", node) as house:
        runner = Runner(house, tell=tell)
        thread = threading.Thread(target=runner.run)
        thread.start()
        assert polled_often.wait(60)
        assert thread.is_alive()
        runner.stop()
        thread.join(30)
        assert not thread.is_alive()
        runner.run()  # one that was stopped stays stopped


def test_a_storage_fault_passes(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that does not answer for a moment is said in one line; the loop it met goes on."""
    node = publish(station, 6)

    with open_test_house(tmp_path / "data", node) as house:
        monkeypatch.setattr(house, "poll", once_failing(StorageError("the disk is away"), house.poll))
        monkeypatch.setattr(house, "deliver", once_failing(StorageError("the disk is away"), house.deliver))
        events = run_until_idle(house)

    assert len(of_kind(events, ScoredClip)) == 1
    assert {"listen, trying again: the disk is away", "deliver, trying again: the disk is away"} <= {
        record.getMessage() for record in caplog.records
    }
