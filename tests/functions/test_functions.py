"""The app as Azure Functions sees it: what is indexed, and what each trigger does with a real trigger object."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azure.functions.blob import InputStream
from azure.functions.servicebus import ServiceBusMessage
from azure.functions.timer import TimerRequest

import function_app
from functions import health
from functions import house as functions_house
from shared.bootstrap import open_house
from shared.checks import Readiness
from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import BACKFILLS, CLIPS, DETECTIONS, GAPS, SENT, Backfill, ClipResult, SentBatch, result_blob_name
from shared.errors import BlobNotFound, LeftToHost, StorageError
from shared.house import House
from shared.storage.ports import Delivery, Message, QueueStats
from tests.clock import FakeClock
from tests.conftest import ROOT
from tests.house import HEARD_UTC, publish
from tests.pipeline import EPOCHS, encoded_folders, hydrophones_file
from tests.recording.fakes import make_result
from tests.recording.servers import HttpServer, http_server
from tests.scoring.fakes import FakeDetector
from tests.upkeep.conftest import make_batch

BATCH = f"test_node/{EPOCHS[0]}/0-5"


@pytest.fixture(scope="module")
def indexed() -> dict[str, Any]:
    """Every function of the app by name, as the worker indexes them: once per app, so from an app made anew."""
    return {function.get_function_name(): function for function in importlib.reload(function_app).app.get_functions()}


@pytest.fixture
def trigger(indexed: dict[str, Any]) -> Callable[[str, object], None]:
    """Call the function of that name with its trigger object."""
    return lambda name, given: indexed[name].get_user_function()(given)


@pytest.fixture
def station() -> Iterator[Station]:
    """A server of streams on loopback."""
    with Station() as server:
        yield server


@pytest.fixture
def people() -> Iterator[HttpServer]:
    """Somebody who is told."""
    with http_server() as server:
        yield server


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    """A model that hears what a test wants."""
    detector = FakeDetector((0.1,))
    monkeypatch.setattr("shared.bootstrap.load_detector", lambda settings: detector)
    return detector


@pytest.fixture
def house(
    station: Station,
    people: HttpServer,
    detector: FakeDetector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[House]:
    """The host's house on local storage, set up by its app settings as a host would, and closed when the host ends."""
    file = hydrophones_file(tmp_path, [Node(station, "test_node"), Node(station, "silent_node")])
    for name, value in {
        "HARO_DATA": str(tmp_path / "data"),
        "HARO_HYDROPHONES": str(file),
        "HARO_MIN_FREE_GB": "0",
        "HARO_MODERATOR_CHANNELS": f"json://127.0.0.1:{people.port}/hook",
        "HARO_POLL_SCHEDULE": "*/20 * * * * *",
    }.items():
        monkeypatch.setenv(name, value)
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(functions_house, "atexit", SimpleNamespace(register=at_exit.append))
    monkeypatch.setattr(functions_house, "open_house", partial(open_house, now=FakeClock(HEARD_UTC)))
    functions_house._opened.cache_clear()
    monkeypatch.setattr(health, "_readiness", Readiness(functions_house.the_house))
    yield functions_house.the_house()
    functions_house._opened.cache_clear()
    (close,) = at_exit
    close()


def bus_message(body: str, *, delivery_count: int = 1) -> func.ServiceBusMessage:
    """A message as the host hands it over."""
    return ServiceBusMessage(
        body=body.encode(),
        message_id=BATCH,
        delivery_count=delivery_count,
        application_properties={},
        user_properties={},
    )


def result_blob(name: str, data: bytes = b"") -> func.InputStream:
    """A blob as the host hands it over: its name begins with the container."""
    return InputStream(data=data, name=name, uri=f"https://account.blob.core.windows.net/{name}", length=len(data))


def received(house: House) -> Delivery:
    """The next batch on the queue."""
    delivery = house.storage.batches.receive()
    assert delivery is not None
    return delivery


def test_the_app_has_its_functions(indexed: dict[str, Any]) -> None:
    """The three stages, the two that set right what went wrong, and health, all under lower-case names."""
    found = {
        name: [binding.get_dict_repr()["type"] for binding in function.get_bindings()]
        for name, function in indexed.items()
    }

    assert found == {
        "enqueue": ["timerTrigger"],
        "score": ["serviceBusTrigger"],
        "record": ["blobTrigger"],
        "deadletter": ["timerTrigger"],
        "reconcile": ["timerTrigger"],
        "live": ["httpTrigger", "http"],
        "ready": ["httpTrigger", "http"],
    }


def test_the_triggers_watch_what_the_stages_write(indexed: dict[str, Any]) -> None:
    """Queue and container are those the stages send to, and blobs are told by Event Grid, not by scanning."""
    timer, queue, blob = (indexed[name].get_trigger().get_dict_repr() for name in ("enqueue", "score", "record"))

    assert timer["schedule"] == "%HARO_POLL_SCHEDULE%"
    assert queue["queueName"] == "segment-batches"
    assert result_blob_name(BATCH).startswith(blob["path"].removesuffix("{name}"))
    assert (blob["path"], blob["source"]) == ("results/{name}", "EventGrid")


def test_every_app_setting_is_in_the_example(indexed: dict[str, Any]) -> None:
    """Each connection and each %NAME% of a binding has a value in local.settings.json.example."""
    example = json.loads((ROOT / "local.settings.json.example").read_text(encoding="utf-8"))
    bindings = [binding.get_dict_repr() for function in indexed.values() for binding in function.get_bindings()]
    needed = {binding["connection"] for binding in bindings if "connection" in binding}
    needed |= {name for binding in bindings for name in re.findall(r"%(\w+)%", json.dumps(binding, default=str))}

    assert needed >= {"ServiceBusConnection", "AzureWebJobsStorage", "HARO_POLL_SCHEDULE"}
    given = {name.partition("__")[0] for name, value in example["Values"].items() if value}
    assert needed - given == set()
    assert example["IsEncrypted"] is False
    assert example["Values"]["FUNCTIONS_WORKER_RUNTIME"] == "python"


def test_a_batch_stays_locked_as_long_as_a_function_may_run() -> None:
    """host.json is read, and no batch comes to a second worker while the first may still be at it."""
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))

    assert host["version"] == "2.0"
    assert host["extensionBundle"]["id"] == "Microsoft.Azure.Functions.ExtensionBundle"
    bus = host["extensions"]["serviceBus"]
    assert bus["maxAutoLockRenewalDuration"] >= host["functionTimeout"]
    assert bus["prefetchCount"] == 0, "a prefetched message's lock runs before anybody looks at it"


@pytest.mark.parametrize("file", sorted((ROOT / "functions").glob("*.py")), ids=lambda file: file.name)
def test_a_trigger_holds_no_logic(file: Path) -> None:
    """Each file of bindings is at most 30 lines of code."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]

    assert len([line for line in lines if line and not line.startswith("#")]) <= 30


def test_the_timer_sends_new_batches(
    trigger: Callable[[str, object], None], station: Station, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """One tick puts the published audio on the queue, a second tick nothing more; a silent stream is said."""
    publish(station, 6)

    trigger("enqueue", TimerRequest(past_due=False))
    trigger("enqueue", TimerRequest(past_due=True))

    assert house.storage.batches.stats().active == 1
    assert received(house).message.id == BATCH
    assert any(record.getMessage().startswith("silent_node: unreachable.") for record in caplog.records)


def test_the_timer_feeds_backfills(trigger: Callable[[str, object], None], station: Station, house: House) -> None:
    """Old audio that somebody asked for comes on the queue by the same ticks, and the request ends as done."""
    publish(station, 6)
    start_utc = datetime.fromtimestamp(EPOCHS[0], UTC)
    asked = Backfill(id="asked", hydrophone_id="test_node", start_utc=start_utc, end_utc=HEARD_UTC, reason="requested")
    house.storage.documents.create(BACKFILLS, asked.to_json())

    for _ in range(4):
        trigger("enqueue", TimerRequest())
        house.now.advance(20)  # type: ignore[attr-defined]  # a FakeClock

    jobs = [stored.body for stored in house.storage.documents.query(BACKFILLS)]
    assert {job["state"] for job in jobs} == {"done"}
    assert sum(job["batches_sent"] for job in jobs) == 1
    assert house.storage.batches.stats().active == 1, "the live batch of the same audio is the same message"


def test_a_message_becomes_a_result_and_a_result_becomes_news(
    trigger: Callable[[str, object], None],
    station: Station,
    house: House,
    people: HttpServer,
    detector: FakeDetector,
) -> None:
    """From the queue to people, each trigger called twice alike: one result, one detection, one notice."""
    detector.scores = (0.9,)
    publish(station, 6)
    trigger("enqueue", TimerRequest())
    body = received(house).message.body
    name = result_blob_name(BATCH)

    for delivery_count in (1, 2):
        trigger("score", bus_message(body, delivery_count=delivery_count))
    for _ in range(2):
        trigger("record", result_blob(name, house.storage.blobs.get(name)))

    result = ClipResult.parse(house.storage.blobs.get(name), source=name)
    assert (result.batch_id, result.detected) == (BATCH, True)
    (detection,) = house.storage.documents.query(DETECTIONS)
    assert detection.body["id"] == result.detection_id
    assert len(house.storage.documents.query(CLIPS)) == 1
    assert [result.detection_id in request[2]["message"] for request in people.requests] == [True]


def test_the_timer_tells_what_was_held_back(
    trigger: Callable[[str, object], None], house: House, people: HttpServer
) -> None:
    """A bout's second detection, held back when it was recorded, is told by a later tick without a new result."""
    clock = house.now
    assert isinstance(clock, FakeClock)
    for minute in (3, 2):
        result = make_result(HEARD_UTC - timedelta(minutes=minute), hydrophone_id="test_node")
        name = result_blob_name(result.batch_id)
        house.storage.blobs.put(name, result.model_dump_json().encode())
        trigger("record", result_blob(name))
    assert len(people.requests) == 1

    trigger("enqueue", TimerRequest())
    assert len(people.requests) == 1
    clock.advance(house.settings.bout_update_s)
    trigger("enqueue", TimerRequest())
    assert len(people.requests) == 2
    assert result.detection_id in people.requests[1][2]["message"]


def test_a_missing_segment_is_waited_for_until_the_last_delivery(
    trigger: Callable[[str, object], None], station: Station, house: House
) -> None:
    """A segment that may still come gives the message back; the last delivery of all takes it for missing."""
    house.now.now_utc = HEARD_UTC.replace(minute=1, second=30)  # type: ignore[attr-defined]  # a FakeClock
    node = Node(station, "test_node")
    node.start_folder(EPOCHS[0])
    for segment in encoded_folders()[0][:6]:
        node.add(segment, fault="missing" if segment.index == 4 else None)
    trigger("enqueue", TimerRequest())
    body = received(house).message.body

    with pytest.raises(LeftToHost, match="may still come"):
        trigger("score", bus_message(body, delivery_count=house.settings.max_deliveries - 1))
    trigger("score", bus_message(body, delivery_count=house.settings.max_deliveries))
    trigger("record", result_blob(result_blob_name(BATCH)))

    (gap,) = house.storage.documents.query(GAPS)
    assert (gap.body["reason"], gap.body["first_index"]) == ("missing", 4)


def test_what_cannot_be_understood_is_given_back_with_its_reason(
    trigger: Callable[[str, object], None], house: House
) -> None:
    """A message or a blob that is none of ours raises, naming itself: the host then sets it aside."""
    with pytest.raises(LeftToHost, match=f"message {BATCH} is not a valid SegmentBatch: "):
        trigger("score", bus_message("{"))
    with pytest.raises(BlobNotFound, match="results/none"):
        trigger("record", result_blob("results/none.json"))


def test_results_are_heard_of_by_polling_where_a_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulators have no Event Grid: the same function scans for results there."""
    monkeypatch.setenv("HARO_BLOB_SOURCE", "polling")
    polling = importlib.reload(importlib.import_module("functions.record"))

    (binding,) = polling.blueprint._function_builders[0].build().get_bindings()

    assert binding.get_dict_repr()["source"] == "LogsAndContainerScan"
    monkeypatch.undo()
    importlib.reload(polling)


def test_health_says_what_is_in_order(indexed: dict[str, Any], house: House) -> None:
    """The app is alive, and ready with settings, model and storage named one by one."""
    request = func.HttpRequest("GET", "/api/health/live", body=b"")
    live, ready = (indexed[name].get_user_function()(request) for name in ("live", "ready"))

    assert (live.status_code, json.loads(live.get_body())["status"]) == (200, "ok")
    assert ready.status_code == 200
    assert json.loads(ready.get_body())["checks"] == dict.fromkeys(
        ("settings", "model", "notifications", "queue", "blobs", "documents"), True
    )


def test_not_ready_is_told_without_a_word_too_much(
    indexed: dict[str, Any], house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that does not answer is named, with 503, and nothing of its error is told to whoever asks."""

    def down(*, at_most: int) -> None:
        raise StorageError("the namespace secret.servicebus.windows.net does not answer")

    monkeypatch.setattr(house.storage.batches, "stats", down)
    request = func.HttpRequest("GET", "/api/health/ready", body=b"")
    ready = indexed["ready"].get_user_function()(request)

    assert ready.status_code == 503
    assert json.loads(ready.get_body())["checks"]["queue"] is False
    assert b"secret" not in ready.get_body()


def test_a_wrong_setting_is_told_by_the_app_itself(indexed: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a setting nobody knows the functions are still found, and `ready` says what is wrong."""
    monkeypatch.setenv("HARO_NONSENSE", "1")
    functions_house._opened.cache_clear()
    monkeypatch.setattr(health, "_readiness", Readiness(functions_house.the_house))
    app = importlib.reload(function_app).app
    request = func.HttpRequest("GET", "/api/health/ready", body=b"")

    ready = indexed["ready"].get_user_function()(request)

    assert len(app.get_functions()) == 7
    assert (ready.status_code, json.loads(ready.get_body())["checks"]) == (503, {"settings": False})


def test_health_is_looked_at_once_for_everybody(
    indexed: dict[str, Any], house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often strangers ask, storage is asked once in a while."""
    asked: list[int] = []
    stats = house.storage.batches.stats

    def counted(*, at_most: int) -> QueueStats:
        asked.append(at_most)
        return stats()

    monkeypatch.setattr(house.storage.batches, "stats", counted)
    request = func.HttpRequest("GET", "/api/health/ready", body=b"")

    for _ in range(50):
        assert indexed["ready"].get_user_function()(request).status_code == 200

    assert asked == [1]


def test_the_timers_of_upkeep_do_their_work(
    trigger: Callable[[str, object], None], house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """A dead letter is told, and a batch that vanished is on the queue again."""
    house.storage.batches.send([Message("rubbish", "{")])
    house.storage.batches.dead_letter(received(house), reason="no batch")
    house.storage.documents.create(SENT, SentBatch.of(make_batch(0), sent_utc=HEARD_UTC - timedelta(days=1)).to_json())

    trigger("deadletter", TimerRequest())
    trigger("reconcile", TimerRequest())

    assert "1 dead letters" in caplog.text
    assert received(house).message.id == f"{make_batch(0).id}~1"


def test_many_triggers_at_once_share_one_house(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many triggers come first at the same moment, one house is opened."""
    opened: list[object] = []
    really_open = open_house

    def counting(*arguments: Any, **named: Any) -> Any:
        opened.append(arguments)
        return really_open(*arguments, **named)

    functions_house._opened.cache_clear()
    at_exit: list[Callable[[], None]] = []
    monkeypatch.setattr(functions_house, "atexit", SimpleNamespace(register=at_exit.append))
    monkeypatch.setattr(functions_house, "open_house", counting)
    with ThreadPoolExecutor(8) as pool:
        houses = set(pool.map(lambda _: functions_house.the_house(), range(8)))
    for close in at_exit:
        close()

    assert len(houses) == len(opened) == 1
