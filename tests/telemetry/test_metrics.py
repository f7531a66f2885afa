"""Every instrument, with the value and the attributes that a small story leaves in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import Backfill
from shared.errors import ModelError, StorageError
from shared.ingest.backfill import request_backfill
from shared.recording.notify import NoticePolicy
from shared.scoring.detector import Detector
from shared.settings import Settings
from shared.storage.ports import Container, Message, Stored
from shared.telemetry import metrics
from tests.clock import FakeClock
from tests.house import HEARD_UTC, open_test_house, publish
from tests.pipeline import EPOCHS, encoded_folders
from tests.recording.fakes import make_result
from tests.recording.servers import http_server
from tests.scoring.fakes import FakeDetector
from tests.telemetry.conftest import Readings, Series

WHERE = ("hydrophone", "test_node")
END_UTC = datetime.fromtimestamp(EPOCHS[0] + 62, UTC)
"""When the sound of the first batch ends: the folder's start, 2 s, and six segments of 10 s."""


def values(series: Series) -> dict[tuple[tuple[str, Any], ...], float]:
    """Number by attributes."""
    return {attributes: point.value for attributes, point in series.items()}


def test_a_detection_and_a_gap_are_counted(
    station: Station, detector: FakeDetector, tmp_path: Path, readings: Readings
) -> None:
    """One live minute with a call and a missing segment: counted once, however often its messages come."""
    node = Node(station, "test_node")
    node.start_folder(EPOCHS[0])
    for segment in encoded_folders()[0][:6]:
        node.add(segment, fault="missing" if segment.index == 5 else None)
    node.end()
    detector.scores = (0.05, 0.95, 0.35)
    clock = FakeClock(HEARD_UTC)

    with (
        http_server((500, "no")) as people,
        open_test_house(tmp_path, node, now=clock, moderator_channels=f"json://127.0.0.1:{people.port}/hook") as house,
    ):
        (report,) = house.poll()
        house.tend_dead_letters()
        polled = readings.take()
        clock.advance(30)
        scored = house.score(report.batches[0], last_try=True)
        house.score(report.batches[0], last_try=True)
        clock.advance(30)
        for _ in range(2):
            house.record(scored.result_blob)
        assert house.deliver().failed == 1
        clock.advance(3600)
        assert house.deliver().sent == 1
        told = readings.take()

    assert values(polled["haro.hydrophone.newest"]) == {
        (WHERE,): pytest.approx((HEARD_UTC - END_UTC).total_seconds(), abs=3)
    }
    assert values(polled["haro.queue.waiting"]) == {(): 1}
    assert values(polled["haro.queue.dead"]) == {(): 0}
    assert "haro.queue.age" in polled

    model = ("model_version", detector.metadata.model_version)
    assert values(told["haro.clips.scored"]) == {(("detected", True), WHERE, model): 1}
    assert values(told["haro.gaps"]) == {(WHERE, ("reason", "missing")): 1}
    (scores,) = told["haro.score"].values()
    assert list(told["haro.score"]) == [(WHERE, model)]
    assert scores.count == len(scored.result.windows)
    assert (scores.bucket_counts[0], scores.bucket_counts[9]) == (1, 1)
    assert sum(scores.bucket_counts) == scores.bucket_counts[3] + 2
    late_s = (HEARD_UTC - scored.result.start_utc).total_seconds() - scored.result.duration_s
    for name, more_s in (("haro.audio.to_scored", 30), ("haro.audio.to_recorded", 60)):
        ((attributes, lag),) = told[name].items()
        assert (attributes, lag.count, lag.sum) == ((WHERE,), 1, pytest.approx(late_s + more_s))
        assert (lag.explicit_bounds[0], lag.explicit_bounds[-1]) == (10, 3600)
    people_told = ("audience", "moderators")
    assert values(told["haro.notifications"]) == {
        (people_told, ("outcome", "failed")): 1,
        (people_told, ("outcome", "sent")): 1,
    }


def test_dead_letters_and_waiting_batches_are_seen(
    station: Station, detector: FakeDetector, tmp_path: Path, readings: Readings
) -> None:
    """A message nobody can read is among the dead, the one behind it waits, and its age is told."""
    clock = FakeClock(HEARD_UTC)
    with open_test_house(tmp_path, publish(station, 6), now=clock) as house:
        house.storage.batches.send([Message("rubbish", "{")])
        delivery = house.storage.batches.receive()
        assert delivery is not None
        house.storage.batches.dead_letter(delivery, reason="no batch")
        house.storage.batches.send([Message("waits", "{")])
        clock.advance(90)
        house.tend_dead_letters()

    seen = readings.take()
    assert [values(seen[f"haro.queue.{name}"])[()] for name in ("waiting", "dead", "age")] == [1, 1, 90]


def test_a_hydrophone_out_of_reach_grows_old(
    station: Station, detector: FakeDetector, tmp_path: Path, readings: Readings
) -> None:
    """When a stream cannot be read any more, the age of its newest sound goes on growing instead of vanishing."""
    clock = FakeClock(HEARD_UTC)
    node = publish(station, 6)
    with open_test_house(tmp_path, node, now=clock) as house:
        house.poll()
        before = values(readings.take()["haro.hydrophone.newest"])[(WHERE,)]
        station.close()
        clock.advance(600)
        (report,) = house.poll()

    assert report.newest_utc is None
    seen = readings.take()
    assert values(seen["haro.hydrophone.newest"]) == {(WHERE,): before + 600}
    assert "haro.polls.failed" not in seen  # the stream's own fault


def test_polls_that_haro_itself_failed_are_counted(
    station: Station, detector: FakeDetector, tmp_path: Path, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each poll that fails for want of a store counts for its hydrophone alone; one that is postponed does not."""
    clock = FakeClock(HEARD_UTC)
    with open_test_house(tmp_path, publish(station, 6), publish(station, 6, name="well"), now=clock) as house:
        get = house.storage.documents.get

        def spoiled(container: Container, partition: str, doc_id: str) -> Stored | None:
            if partition == "test_node":
                raise StorageError("the page is malformed")
            return get(container, partition, doc_id)

        monkeypatch.setattr(house.storage.documents, "get", spoiled)
        states = [[report.state for report in house.poll()] for _ in range(2)]
        clock.advance(60)
        states.append([report.state for report in house.poll()])

    assert states == [["failed", "ended"], ["postponed", "ended"], ["failed", "ended"]]
    seen = readings.take()
    assert values(seen["haro.polls.failed"]) == {(WHERE,): 2}
    assert list(seen["haro.hydrophone.newest"]) == [(("hydrophone", "well"),)]


def test_a_model_that_does_not_load_is_counted(
    station: Station, tmp_path: Path, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch that fails for want of a model counts one failed load."""

    def refuse(settings: Settings) -> Detector:
        raise ModelError("model.onnx: no metadata")

    monkeypatch.setattr("shared.bootstrap.load_detector", refuse)
    with open_test_house(tmp_path, publish(station, 6)) as house:
        (report,) = house.poll()
        for _ in range(2):
            with pytest.raises(ModelError):
                house.score(report.batches[0], last_try=False)

    assert values(readings.take()["haro.model.load_failures"]) == {(): 2}


def test_what_a_backfill_misses_is_counted(
    station: Station, detector: FakeDetector, tmp_path: Path, readings: Readings
) -> None:
    """A stretch of the past whose folder is gone is a gap like any other."""
    job = Backfill(
        id="lost",
        hydrophone_id="test_node",
        epoch=EPOCHS[0] - 7200,
        next_epoch=EPOCHS[0] - 3600,
        start_utc=HEARD_UTC - timedelta(hours=3),
        end_utc=HEARD_UTC - timedelta(hours=2),
        reason="requested",
    )
    with open_test_house(tmp_path, publish(station, 6), now=FakeClock(HEARD_UTC)) as house:
        request_backfill(house.storage.documents, job)
        house.backfill()

    assert values(readings.take()["haro.gaps"]) == {(WHERE, ("reason", "folder_gone")): 1}


def test_past_sound_does_not_count_as_late(readings: Readings) -> None:
    """A backfill's clips are counted and their scores noted, but they say nothing about how late Haro is."""
    result = make_result(origin="backfill")
    metrics.clip_scored(result, HEARD_UTC)
    metrics.clip_recorded(result, HEARD_UTC)

    assert set(readings.take()) == {"haro.clips.scored", "haro.score"}


def test_a_clock_that_is_behind_makes_no_negative_lag(readings: Readings) -> None:
    """Sound that seems to end in the future, by a node's clock, was heard at once."""
    result = make_result()
    metrics.clip_scored(result, result.start_utc)

    (lag,) = readings.take()["haro.audio.to_scored"].values()
    assert (lag.count, lag.sum) == (1, 0)


def test_a_minute_without_any_sound_is_scored_but_never_in_time(readings: Readings) -> None:
    """All its segments are missing: it is counted, and is no sign that its hydrophone is heard."""
    result = make_result().model_copy(update={"windows": (), "detected": False})
    metrics.clip_scored(result, result.start_utc)
    metrics.clip_recorded(result, result.start_utc)

    assert set(readings.take()) == {"haro.clips.scored"}


def test_a_message_given_up_is_counted(
    station: Station, detector: FakeDetector, tmp_path: Path, readings: Readings
) -> None:
    """The last of the failures of a message that nobody gets is told apart from those that are tried again."""
    detector.scores = (0.95,)
    clock = FakeClock(HEARD_UTC)
    with (
        http_server((500, "no"), (500, "no")) as people,
        open_test_house(
            tmp_path, publish(station, 6), now=clock, moderator_channels=f"json://127.0.0.1:{people.port}/hook"
        ) as house,
    ):
        (report,) = house.poll()
        house.record(house.score(report.batches[0], last_try=True).result_blob)
        assert house.deliver().failed == 1
        clock.advance(NoticePolicy().give_up_after_s + 1)
        assert house.deliver().failed == 1
        clock.advance(NoticePolicy().longest_retry_s + 1)
        assert (house.deliver().failed, len(people.requests)) == (0, 2)

    assert values(readings.take()["haro.notifications"]) == {
        (("audience", "moderators"), ("outcome", "failed")): 2,
        (("audience", "moderators"), ("outcome", "given_up")): 1,
    }


def test_who_is_not_told_is_counted(readings: Readings) -> None:
    """Each audience and outcome has a count of its own."""
    for audience, outcome in (("subscribers", "suppressed"), ("orcasite", "failed"), ("subscribers", "suppressed")):
        metrics.notified(audience, outcome)  # type: ignore[arg-type]  # a tuple of literals widens to str

    assert values(readings.take()["haro.notifications"]) == {
        (("audience", "orcasite"), ("outcome", "failed")): 1,
        (("audience", "subscribers"), ("outcome", "suppressed")): 2,
    }
