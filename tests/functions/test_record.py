"""What becomes of a result in its blob."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest
from azure.functions.timer import TimerRequest

from shared.demo.station import Station
from shared.documents import CLIPS, DETECTIONS, ClipResult, result_blob_name
from shared.house import House
from tests.functions.host import BATCH, bus_message, received, result_blob
from tests.house import publish
from tests.recording.servers import HttpServer
from tests.scoring.fakes import FakeDetector


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


def test_results_are_heard_of_by_polling_where_a_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulators have no Event Grid: the same function scans for results there."""
    monkeypatch.setenv("HARO_BLOB_SOURCE", "polling")
    polling = importlib.reload(importlib.import_module("functions.record"))

    (binding,) = polling.blueprint._function_builders[0].build().get_bindings()

    assert binding.get_dict_repr()["source"] == "LogsAndContainerScan"
    monkeypatch.undo()
    importlib.reload(polling)
