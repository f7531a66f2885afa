"""The real app under Microsoft's engine, on local storage: what is indexed, and each function on a real payload.

The tests play the parts around it: Service Bus (from the station's queue), Event Grid (from its blobs) and the clock.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.bootstrap import utc_now
from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import CLIPS, SENT, ClipResult, SegmentBatch, SentBatch, result_blob_name
from shared.settings import load_settings
from shared.storage.local.station import open_station
from shared.storage.ports import Delivery, Message, Storage
from tests.conftest import ROOT
from tests.engine.expected import EMULATORS, EXPECTED, IDENTITIES, SCHEDULES
from tests.engine.host import FunctionHost, Outcome, WorkerError
from tests.pipeline import encoded_folders, hydrophones_file

NODES = ("story_node", "killed_node", "lost_node", "silent_node")
STARTED_S = 400
"""How long ago the streams began: a batch of a minute is whole, and none is older than the first contact reaches."""


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    """A server of streams on loopback."""
    with Station() as server:
        yield server


@pytest.fixture(scope="module")
def nodes(station: Station) -> list[Node]:
    """The hydrophones of the app: all but the last have published a minute, some minutes ago."""
    nodes = [Node(station, name) for name in NODES]
    for node in nodes[:-1]:
        node.start_folder(int(time.time()) - STARTED_S)
        for segment in encoded_folders()[0][:6]:
            node.add(segment)
        node.end()
    return nodes


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the app keeps everything."""
    return tmp_path_factory.mktemp("station")


@pytest.fixture(scope="module")
def host(engine_python: Path, nodes: list[Node], data: Path) -> Iterator[FunctionHost]:
    """The real app, once for all tests: to import it takes seconds."""
    settings = {
        "HARO_DATA": str(data),
        "HARO_HYDROPHONES": str(hydrophones_file(data, nodes)),
        "HARO_MIN_FREE_GB": "0",
        "HARO_BLOB_SOURCE": "polling",
    }
    with FunctionHost(engine_python, ROOT, SCHEDULES | EMULATORS | settings) as host:
        yield host


@pytest.fixture(scope="module")
def storage(host: FunctionHost, data: Path) -> Iterator[Storage]:
    """The app's storage, as its surroundings see it."""
    with open_station(load_settings(data=data, min_free_gb=0.0), exclusive=False, now=utc_now) as storage:
        yield storage


@pytest.fixture(scope="module")
def poll(host: FunctionHost) -> Outcome:
    """The first poll of the app."""
    return host.invoke_timer("enqueue")


@pytest.fixture(scope="module")
def batches(poll: Outcome, storage: Storage) -> dict[str, Delivery]:
    """The message that the poll put on the queue for each hydrophone, received and not yet settled."""
    assert poll.error == ""
    deliveries: dict[str, Delivery] = {}
    while delivery := storage.batches.receive():
        deliveries[delivery.message.id.partition("/")[0]] = delivery
    return deliveries


def hand_over(host: FunctionHost, delivery: Delivery, *, delivery_count: int | None = None) -> Outcome:
    """What the host does with a message it received."""
    return host.invoke_service_bus(
        "score",
        delivery.message.body,
        message_id=delivery.message.id,
        delivery_count=delivery_count or delivery.delivery_count,
        enqueued_utc=delivery.enqueued_utc,
        application_properties=delivery.message.headers,
    )


def hand_over_result(host: FunctionHost, storage: Storage, name: str) -> Outcome:
    """What the host does with a blob that arrived."""
    return host.invoke_blob("record", name, storage.blobs.get(name), uri=f"https://haro.blob.core.windows.net/{name}")


def test_the_app_is_indexed_whole(host: FunctionHost) -> None:
    """There are these functions and no other, each with the trigger it must have and no output but an HTTP answer."""
    assert set(host.functions) == set(EXPECTED)
    for name, expected in EXPECTED.items():
        trigger = host.functions[name].trigger
        assert {key: trigger.get(key) for key in expected} == expected, name
        outputs = [binding["type"] for binding in host.functions[name].bindings if binding is not trigger]
        assert outputs == (["http"] if expected["type"] == "httpTrigger" else []), name


def test_the_app_is_taken_as_azure_sets_it_up(engine_python: Path, host: FunctionHost) -> None:
    """With identities instead of connection strings, results come by Event Grid; the app is alive, unconnected."""
    assert host.functions["record"].trigger["source"] == "LogsAndContainerScan"

    settings = SCHEDULES | IDENTITIES | {"HARO_STORAGE": "azure", "HARO_BLOB_SOURCE": "eventgrid"}
    with FunctionHost(engine_python, ROOT, settings) as azure:
        assert set(azure.functions) == set(EXPECTED)
        assert azure.functions["record"].trigger["source"] == "EventGrid"
        answer = azure.invoke_http("live", "GET", "/api/health/live").http

    assert answer is not None
    assert answer.status == 200


def test_the_example_settings_are_enough(engine_python: Path) -> None:
    """Copied as they are, the example's settings lack nothing that a binding names."""
    example = json.loads((ROOT / "local.settings.json.example").read_text(encoding="utf-8"))
    with FunctionHost(engine_python, ROOT, example["Values"]) as host:
        assert set(host.functions) == set(EXPECTED)


def test_a_setting_nobody_knows_is_told_and_not_hidden(engine_python: Path) -> None:
    """With a wrong setting the functions are still found: each call fails with its name, and `ready` says 503."""
    wrong = SCHEDULES | EMULATORS | {"HARO_POL_SCHEDULE": "* * * * * *"}
    with FunctionHost(engine_python, ROOT, wrong) as host:
        polled = host.invoke_timer("enqueue")
        ready = host.invoke_http("ready", "GET", "/api/health/ready").http

    assert "HARO_POL_SCHEDULE: is no setting" in polled.error
    assert ready is not None
    assert (ready.status, json.loads(ready.body)["checks"]) == (503, {"settings": False})


def test_audio_becomes_a_batch_a_result_and_documents(
    host: FunctionHost, storage: Storage, poll: Outcome, batches: dict[str, Delivery]
) -> None:
    """Polled, scored and recorded, each twice as at-least-once delivery may have it: one batch, result, clip."""
    assert set(batches) == set(NODES[:-1])
    assert any("silent_node: unreachable" in line for line in poll.logs)
    assert host.invoke_timer("enqueue", past_due=True).ok
    assert storage.batches.receive() is None
    delivery = batches["story_node"]

    for delivery_count in (1, 2):
        assert hand_over(host, delivery, delivery_count=delivery_count).error == ""
    storage.batches.complete(delivery)

    batch = SegmentBatch.parse(delivery.message.body, source="the queue")
    name = result_blob_name(batch.id)
    result = ClipResult.parse(storage.blobs.get(name), source=name)
    assert result.batch_id == batch.id
    assert len(result.provenance.segment_indices) == 6
    for _ in range(2):
        assert hand_over_result(host, storage, name).error == ""
    (clip,) = [stored.body for stored in storage.documents.query(CLIPS) if stored.body["hydrophone_id"] == "story_node"]
    assert clip["id"] == batch.clip_id


def test_an_unreadable_message_fails_with_what_is_wrong(host: FunctionHost) -> None:
    """A message that is no batch fails its invocation, by its id: the host then sets it aside."""
    for body in ("{", "[]", '{"id": "x"}', ""):
        outcome = host.invoke_service_bus("score", body, message_id="m-17", delivery_count=1)
        assert not outcome.ok
        assert "m-17" in outcome.error
        assert "is not a valid SegmentBatch" in outcome.error


def test_a_result_that_is_gone_fails_with_its_name(host: FunctionHost) -> None:
    """A blob that vanished between its arrival and its function fails the invocation; the next one is served."""
    outcome = host.invoke_blob(
        "record", "results/gone.json", b"{}", uri="https://haro.blob.core.windows.net/results/gone"
    )

    assert not outcome.ok
    assert outcome.error.startswith("BlobNotFound: ")
    assert "results/gone.json" in outcome.error
    assert host.invoke_http("live", "GET", "/api/health/live").ok


def test_a_worker_killed_while_it_scores_costs_nothing(
    host: FunctionHost, storage: Storage, station: Station, batches: dict[str, Delivery]
) -> None:
    """Killed between two segments, started again, handed the message a second time: the batch is scored."""
    delivery = batches["killed_node"]
    station.stall("killed_node/*/live003.ts", 60)
    with ThreadPoolExecutor(1) as pool, killed_at_the_end(host):
        waiting = pool.submit(hand_over, host, delivery)
        while not (
            waiting.done() or any("killed_node" in asked.key and ".ts" in asked.key for asked in station.requests)
        ):
            time.sleep(0.01)
        host.kill()
        with pytest.raises(WorkerError):
            waiting.result()
    assert not storage.blobs.exists(result_blob_name(delivery.message.id))

    host.start()
    assert hand_over(host, delivery, delivery_count=2).error == ""
    storage.batches.complete(delivery)

    assert storage.blobs.exists(result_blob_name(delivery.message.id))


@contextmanager
def killed_at_the_end(host: FunctionHost) -> Iterator[None]:
    """Whatever happens, nobody waits for an answer for a minute."""
    try:
        yield
    finally:
        host.kill()


def test_a_message_that_vanished_is_sent_again(
    host: FunctionHost, storage: Storage, batches: dict[str, Delivery]
) -> None:
    """A message that was settled without its function ever running is on the queue again after the next round."""
    delivery = batches["lost_node"]
    storage.batches.complete(delivery)
    batch = SegmentBatch.parse(delivery.message.body, source="the queue")
    stored = storage.documents.get(SENT, batch.hydrophone_id, batch.clip_id)
    assert stored is not None
    long_ago = SentBatch.model_validate(stored.body).model_copy(
        update={"sent_utc": datetime.now(UTC) - timedelta(hours=2)}
    )
    storage.documents.replace(SENT, long_ago.to_json(), etag=stored.etag)

    outcome = host.invoke_timer("reconcile")

    assert outcome.ok
    assert any(f"{batch.id} was sent at" in line for line in outcome.logs)
    again = storage.batches.receive()
    assert again is not None
    assert SegmentBatch.parse(again.message.body, source="the queue") == batch
    storage.batches.complete(again)


def test_dead_letters_are_told(host: FunctionHost, storage: Storage) -> None:
    """The timer for dead letters says in the log how many there are, and why."""
    storage.batches.send([Message(id="dead-1", body="{")])
    delivery = storage.batches.receive()
    assert delivery is not None
    storage.batches.dead_letter(delivery, reason="nobody can read it")

    outcome = host.invoke_timer("deadletter")

    assert outcome.ok
    assert any("1 dead letters" in line and "nobody can read it" in line for line in outcome.logs)


def test_the_app_says_that_it_is_alive_and_ready(host: FunctionHost) -> None:
    """Both health routes answer 200 with what they looked at, and not more than yes and no."""
    for name, looked_at in (
        ("live", {"process"}),
        ("ready", {"settings", "model", "notifications", "queue", "blobs", "documents"}),
    ):
        answer = host.invoke_http(name, "GET", f"/api/health/{name}").http
        assert answer is not None
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert json.loads(answer.body) == {"status": "ok", "checks": dict.fromkeys(looked_at, True)}
