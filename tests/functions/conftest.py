"""The functions by name, and the house behind them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import function_app
from functions import health
from functions import house as functions_house
from shared.bootstrap import open_house
from shared.checks import Readiness
from shared.demo.node import Node
from shared.demo.station import Station
from shared.house import House
from tests.clock import FakeClock
from tests.house import HEARD_UTC, fake_detector
from tests.pipeline import hydrophones_file
from tests.recording.servers import HttpServer, http_server
from tests.scoring.fakes import FakeDetector


@pytest.fixture(scope="module")
def indexed() -> dict[str, Any]:
    """Every function of the app by name, as the worker indexes them: once per app, so from an app made anew."""
    return {function.get_function_name(): function for function in importlib.reload(function_app).app.get_functions()}


@pytest.fixture
def trigger(indexed: dict[str, Any]) -> Callable[[str, object], None]:
    """Call the function of that name with its trigger object."""
    return lambda name, given: indexed[name].get_user_function()(given)


@pytest.fixture
def people() -> Iterator[HttpServer]:
    """Somebody who is told."""
    with http_server() as server:
        yield server


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    """A model that hears what a test wants."""
    return fake_detector(monkeypatch, 0.1)


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
