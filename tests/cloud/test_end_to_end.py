"""A stream through the deployed app's functions, on stand-ins for Azure: the same ends as on a station."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from azure.storage.blob import BlobServiceClient

from shared.bootstrap import open_house
from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import OUTBOX, SENT, ModelRef, SentBatch
from shared.house import House
from shared.recording.lease import end_lease
from shared.settings import load_settings
from shared.storage.ports import Message, Stored
from tests.cloud.conftest import Cloud
from tests.cloud.platform import Platform
from tests.cloud.tripwire import When
from tests.emulators.account import QUEUE
from tests.emulators.cosmos import Answer, Drop, Slow
from tests.emulators.servicebus import Effect, Step
from tests.house import publish
from tests.pipeline import EPOCHS, Leftovers, hydrophones_file, leftovers, publish_synthetic, published, run_haro
from tests.recording.servers import HttpServer, http_server
from tests.scoring.tiny_model import write_tiny_model

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_APART, _LAST = 8, 200  # closer, and no step as long as recording a detection is ever done
_LINK = re.compile(r"https?://\S+\.flac\?\S+")


@dataclass(frozen=True)
class Stream:
    """A published stream, who is told, and what a station makes of it."""

    node: Node
    people: HttpServer
    folder: Path
    on_a_station: Leftovers
    told_by_a_station: set[str]


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stream]:
    """Two folders with a restart between them, a missing and a corrupt segment, calls in two minutes."""
    folder = tmp_path_factory.mktemp("stream")
    with Station() as station, http_server() as people:
        node = publish_synthetic(station, "test_node")
        arguments = ("--hydrophones", hydrophones_file(folder, [node]), "--data", folder / "data")
        env = {"HARO_MODERATOR_CHANNELS": f"json://127.0.0.1:{people.port}/hook", "HARO_BOUT_UPDATE_S": "0"}
        code, _, err = run_haro("run", *arguments, "--until-idle", "--idle-after", "1", env=env)
        assert code == 0, err
        yield Stream(node, people, folder, leftovers(folder / "data"), told(people))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Kill at some writes; with `--every-write`, at every write there is, right before and right after it."""
    if "kills" not in metafunc.fixturenames:
        return
    some: dict[int, When] = {2: "after", 5: "before", 9: "after", 25: "before", 45: "after", 52: "before"}
    kills: dict[str, dict[int, When]] = {"some": some}
    if metafunc.config.getoption("every_write"):
        moments: tuple[When, When] = ("before", "after")
        for when in moments:
            for first in range(1, _APART + 1):
                kills[f"{when}-{first}"] = dict.fromkeys(range(first, _LAST, _APART), when)
    metafunc.parametrize("kills", kills.values(), ids=kills.keys())


def told(people: HttpServer) -> set[str]:
    """The detections people were told of; no message came under two keys."""
    keys: dict[str, set[str]] = {}
    for _, headers, body in people.requests:
        for detection_id in _UUID.findall(body["message"]):
            keys.setdefault(detection_id, set()).add(headers["Idempotency-Key"])
    assert all(len(found) == 1 for found in keys.values()), "only the very same message may be repeated"
    return set(keys)


def assert_as_on_a_station(cloud: Cloud, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each segment once, and documents, blobs and people told equal a station's."""
    after = cloud.leftovers(monkeypatch)
    assert after.accounted() == dict.fromkeys(published("test_node"), 1)
    assert after.lasting() == stream.on_a_station.lasting()
    assert after.documents[SENT.name] == [], "nothing is on its way any more"
    assert told(stream.people) == stream.told_by_a_station


def run(cloud: Cloud, stream: Stream, python: Path) -> Platform:
    """Let the app work until nothing more comes."""
    stream.people.requests.clear()
    with cloud.running(python, stream.folder, stream.node, stream.people.port) as running:
        running.run_until_idle()
    return running


def test_the_cloud_ends_as_a_station_does(
    engine_python: Path, cloud: Cloud, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same documents, blobs byte for byte, and messages; the link in a message opens the clip."""
    running = run(cloud, stream, engine_python)

    assert running.failures == []
    assert_as_on_a_station(cloud, stream, monkeypatch)
    (link,) = _LINK.findall(" ".join(body["message"] for _, _, body in stream.people.requests))
    assert requests.get(link, timeout=10).content.startswith(b"fLaC")


def test_faults_of_the_services_change_nothing(
    engine_python: Path, cloud: Cloud, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Busy, dropped before and after, lock lost, throttled, changed meanwhile, unavailable, slow: same ends."""
    bus, documents = cloud.service_bus.faults, cloud.cosmos.faults
    bus.add(Step.SEND, Effect.BUSY)
    bus.add(Step.SEND, Effect.DROP_BEFORE)
    bus.add(Step.SEND, Effect.DROP_AFTER)
    bus.add(Step.SETTLE, Effect.LOCK_LOST)
    bus.add(Step.RECEIVE, Effect.SLOW, delay_s=0.5)
    documents.add(Answer(429, retry_after_ms=200), times=3)
    documents.add(Answer(412), method="PUT", container="cursors")
    documents.add(Drop(after_work=True), method="POST", container="clips")
    documents.add(Drop(), method="POST", container="metadata")
    documents.add(Answer(503), times=2, container="outbox")
    documents.add(Slow(0.5), times=2)

    run(cloud, stream, engine_python)

    assert bus.pending() == []
    assert documents.pending() == []
    assert_as_on_a_station(cloud, stream, monkeypatch)


def test_killed_between_writes_it_ends_as_if_never_interrupted(
    engine_python: Path, cloud: Cloud, stream: Stream, monkeypatch: pytest.MonkeyPatch, kills: dict[int, When]
) -> None:
    """The worker is killed right before or right after many of its writes, all over the way: same ends."""
    cloud.wire.at |= kills

    stream.people.requests.clear()
    with cloud.running(engine_python, stream.folder, stream.node, stream.people.port) as running:
        running.run_until_idle()
        for _ in kills:
            if untold(cloud, monkeypatch):  # what a killed sender had begun, once its lease is over
                let_time_pass(cloud, monkeypatch)
                running.run_until_idle()
        let_time_pass(cloud, monkeypatch)
        struck_off = (running.tick("reconcile") for _ in range(len(kills) + 1))
        assert any(struck_off), "what was sent twice around a kill is struck off"

    assert len(cloud.wire.sprung) == running.deaths > 4, cloud.wire.sprung
    assert_as_on_a_station(cloud, stream, monkeypatch)


def test_a_message_lost_by_the_platform_is_found(
    engine_python: Path, cloud: Cloud, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that was settled without a call to the app is sent again by reconcile: same ends."""
    stream.people.requests.clear()
    with cloud.running(engine_python, stream.folder, stream.node, stream.people.port) as running:
        running.lose = 2
        running.run_until_idle()
        assert len(let_time_pass(cloud, monkeypatch)) == 2
        assert running.tick("reconcile")
        assert len(cloud.service_bus.active(QUEUE)) == 2
        running.run_until_idle()

    assert_as_on_a_station(cloud, stream, monkeypatch)


def test_a_promoted_model_scores(
    engine_python: Path, cloud: Cloud, station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is running takes up a model from the registry, tries it out there, and names it in its results."""
    node = publish(station, 8)
    with (
        house(cloud, monkeypatch) as desk,
        http_server() as people,
        cloud.running(engine_python, tmp_path, node, people.port) as running,
    ):
        model = write_tiny_model(tmp_path / "tiny.onnx", level_db=200.0).read_bytes()
        ref = ModelRef(name="tiny", version="1")
        desk.registry.add(model, "# tiny", ref=ref, by="ann")
        desk.registry.promote(ref, by="ann", reason="hears nothing")
        running.run_until_idle(rounds_at_rest=1)
        ready = running.host.invoke_http("ready", "GET", "/api/health/ready").http

    assert running.failures == []
    results = cloud.leftovers(monkeypatch).results
    assert [(result.model_version, result.detected) for result in results] == [("tiny/1", False)] * 2
    assert ready is not None
    assert json.loads(ready.body)["checks"]["model"] is True


def test_what_fails_comes_again_or_dies_is_told_and_can_be_replayed(
    engine_python: Path, cloud: Cloud, station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch fails three times and is scored; one uses up its tries and one is unreadable: both say why they died.

    Once the cause is past, a replay brings in the one, and the other dies again.
    """
    node = publish(station, 8)
    station.fail("*/live000.ts", 503, times=3)
    settings = {"HARO_HTTP_ATTEMPTS": "1", "HARO_MAX_DELIVERIES": "4"}
    with (
        BlobServiceClient.from_connection_string(cloud.connections["AzureWebJobsStorage"]) as service,
        http_server() as people,
        house(cloud, monkeypatch) as desk,
        cloud.running(engine_python, tmp_path, node, people.port, **settings) as running,
    ):
        desk.storage.batches.send([Message("by-hand", "{")])
        service.delete_container("clips")  # where sound without a detection goes: that of the second batch
        running.run_until_idle(rounds_at_rest=1)
        asked = [one.status for one in station.requests if one.key.endswith("live000.ts")]
        logged = running.host.invoke_timer("deadletter").logs
        assert len(cloud.service_bus.dead(QUEUE)) == 2

        service.create_container("clips")
        assert desk.replay_dead_letters() == 2
        running.run_until_idle(rounds_at_rest=1)

    assert asked == [503, 503, 503, 200]
    assert any("2 dead letters (`haro dead-letters`): 1 failed, 1 unreadable; 0 put back" in line for line in logged)
    why = [reason for line in logged if (reason := line.partition("given back before because: ")[2])]
    assert [reason.split(":")[:2] for reason in sorted(why)] == [
        [
            "blob clips/test_node/2026-03-20/test_node_2026-03-20t07-01-19z_6-7.flac in account devstoreaccount1",
            " there is no container clips; deploy infra/ again",
        ],
        ["message by-hand is not a valid SegmentBatch", " document"],
    ]
    assert cloud.leftovers(monkeypatch).accounted() == {("test_node", EPOCHS[0], index): 1 for index in range(8)}
    (dead,) = cloud.service_bus.dead(QUEUE)
    assert dead.message.message_id is not None
    assert dead.message.message_id.startswith("by-hand~")
    failed = ["message by-hand"] * 10 + ["message test_node/1773990017/6-7"] * 5  # the host's tries, until it is dead
    assert sorted(failure.split(": ", 2)[2].partition(",")[0] for failure in running.failures) == failed


@contextmanager
def house(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A house in this process, on the same services."""
    for name, value in cloud.direct.items():
        monkeypatch.setenv(name, value)
    with open_house(load_settings(storage="azure"), hydrophones=[]) as opened:
        yield opened


def let_time_pass(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """End the leases, and make what is on its way an hour older; returns its ids."""
    with house(cloud, monkeypatch) as opened:
        documents = opened.storage.documents
        for stored in documents.query(OUTBOX, where={"id": "lease"}):
            end_lease(documents, stored.body["channel_id"])
        waiting = documents.query(SENT)
        for stored in waiting:
            sent = SentBatch.model_validate(stored.body)
            older = sent.model_copy(update={"sent_utc": sent.sent_utc - timedelta(hours=1)})
            documents.replace(SENT, older.to_json(), etag=stored.etag)
    return [stored.body["id"] for stored in waiting]


def untold(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> list[Stored]:
    """The notices that are still to be sent."""
    with house(cloud, monkeypatch) as opened:
        return opened.storage.documents.query(OUTBOX, where={"state": "waiting"})
