"""The house that all triggers share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from functions import house as functions_house
from shared.bootstrap import open_house
from shared.house import House


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
