"""Whether the app is alive and ready, told to whoever asks."""

from __future__ import annotations

import importlib
import json
from typing import Any

import azure.functions as func
import pytest

import function_app
from functions import health
from functions import house as functions_house
from shared.checks import Readiness
from shared.errors import StorageError
from shared.house import House
from shared.storage.ports import QueueStats


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
