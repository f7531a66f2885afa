"""A house opened in the test's own process: a stream on loopback, a clock that stands or runs, faults to put in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from shared.bootstrap import open_house
from shared.demo.node import Node
from shared.demo.station import Station
from shared.house import House
from shared.hydrophones import Hydrophone
from shared.settings import load_settings
from tests.pipeline import EPOCHS, encoded_folders
from tests.scoring.fakes import FakeDetector

HEARD_UTC = datetime.fromtimestamp(EPOCHS[0] + 400, UTC)
"""When the house listens: some minutes after the stream's first segment."""


def running_clock() -> Callable[[], datetime]:
    """A clock that shows `HEARD_UTC` now, and goes on from there."""
    began = monotonic()
    return lambda: HEARD_UTC + timedelta(seconds=monotonic() - began)


def publish(station: Station, count: int, *, name: str = "test_node") -> Node:
    """A stream of one folder with the first so many segments, ended: six of them make a batch."""
    node = Node(station, name)
    node.start_folder(EPOCHS[0])
    for segment in encoded_folders()[0][:count]:
        node.add(segment)
    node.end()
    return node


def fake_detector(monkeypatch: pytest.MonkeyPatch, *scores: float) -> FakeDetector:
    """Let every house have, in place of its model, one with these scores; they may be changed."""
    detector = FakeDetector(scores)
    monkeypatch.setattr("shared.bootstrap.load_detector", lambda settings: detector)
    return detector


@contextmanager
def open_test_house(
    data: Path,
    *nodes: Node,
    now: Callable[[], datetime] | None = None,
    **settings: object,
) -> Iterator[House]:
    """A house for these nodes, alone on its data folder, that is quick to give up and leaves the disk no reserve."""
    quick = {"poll_interval_s": 0.05, "http_attempts": 1, "read_timeout_s": 30.0, "min_free_gb": 0.0}
    hydrophones = [Hydrophone(id=node.name, stream_url=node.url) for node in nodes]
    with open_house(
        load_settings(data=data, **quick | settings),
        hydrophones=hydrophones,
        exclusive=True,
        now=now or running_clock(),
    ) as house:
        yield house


def fail_with(error: Exception) -> Callable[..., Any]:
    """Something that, called with anything, raises the error."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def once_failing(error: Exception, work: Callable[..., Any]) -> Callable[..., Any]:
    """The work, whose first call raises the error."""
    left = [error]

    def call(*arguments: object, **named: object) -> Any:
        if left:
            raise left.pop()
        return work(*arguments, **named)

    return call
