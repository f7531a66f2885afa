"""The house's own part in telling people: how much at a time, and what a store that fails keeps nobody from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from shared.documents import DETECTIONS, Audience
from shared.errors import SettingsError, StorageError
from shared.house import House
from shared.recording.detections import Verdict, detection_document, moderated
from shared.recording.planning import plan
from shared.storage.ports import Changes, Container, Json
from tests.clock import FakeClock
from tests.house import HEARD_UTC, open_test_house
from tests.recording.fakes import LAB, make_result
from tests.recording.servers import HttpServer, http_server

EVERYBODY: frozenset[Audience] = frozenset({"moderators", "subscribers"})


@pytest.fixture
def people() -> Iterator[HttpServer]:
    """Who is told."""
    with http_server() as server:
        yield server


def heard(hours_ago: int) -> Json:
    """A detection, so long ago that each is a bout of its own."""
    result = make_result(HEARD_UTC - timedelta(hours=hours_ago))
    return detection_document(result, LAB, audio_uri="", image_uri="", result_blob="")


def tell(house: House, detection: Json) -> None:
    """Store the detection and plan who is told."""
    house.storage.documents.create(DETECTIONS, detection)
    plan(house.storage.documents, detection, house.channels, audiences=EVERYBODY, policy=house.policy, now=house.now)


def told(people: HttpServer) -> list[str]:
    """Which channels were told, by their paths."""
    return [path for path, _, _ in people.requests]


def test_a_delivery_tells_each_channel_ten_messages_and_leaves_the_rest(tmp_path: Path, people: HttpServer) -> None:
    """After a long outage the next poll need not wait until everything is told; the next delivery goes on."""
    channels = f"json://127.0.0.1:{people.port}/day json://127.0.0.1:{people.port}/night"
    with open_test_house(tmp_path, now=FakeClock(HEARD_UTC), moderator_channels=channels) as house:
        for hours_ago in range(12):
            tell(house, heard(hours_ago))

        assert [house.deliver().sent for _ in range(3)] == [20, 4, 0]

    assert told(people) == ["/day"] * 10 + ["/night"] * 10 + ["/day"] * 2 + ["/night"] * 2


def test_with_nothing_held_back_all_is_told_at_once(tmp_path: Path, people: HttpServer) -> None:
    """Who sends everything before the end of a process has no next delivery to leave the rest to."""
    channel = f"json://127.0.0.1:{people.port}/day"
    with open_test_house(tmp_path, now=FakeClock(HEARD_UTC), moderator_channels=channel) as house:
        for hours_ago in range(12):
            tell(house, heard(hours_ago))

        assert house.deliver(hold_nothing_back=True).sent == 12

    assert told(people) == ["/day"] * 12


def test_verdicts_that_cannot_be_read_keep_nobody_from_what_is_planned(
    tmp_path: Path, people: HttpServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the store gives no changes moderators are still told, an error says so; then subscribers are, once."""

    def down(container: Container, *, after: str = "") -> Changes:
        raise StorageError("status 503, try again later")

    with open_test_house(
        tmp_path,
        now=FakeClock(HEARD_UTC),
        moderator_channels=f"json://127.0.0.1:{people.port}/moderators",
        subscriber_channels=f"json://127.0.0.1:{people.port}/subscribers",
    ) as house:
        tell(house, heard(1))
        confirmed = moderated(heard(2), Verdict("yes", "Ann"), now=HEARD_UTC)
        house.storage.documents.create(DETECTIONS, confirmed)  # as another tool writes it: nothing is planned
        with monkeypatch.context() as patch:
            patch.setattr(house.storage.documents, "changes", down)
            assert house.deliver().sent == 1
        assert told(people) == ["/moderators"]
        (error,) = [record for record in caplog.records if record.name == "shared.house"]
        assert (error.levelno, "status 503" in error.getMessage()) == (logging.ERROR, True)

        assert [house.deliver().sent for _ in range(2)] == [1, 0]

    assert told(people) == ["/moderators", "/subscribers"]


def test_channels_that_would_be_told_as_one_are_refused_and_can_be_told_apart(
    tmp_path: Path, people: HttpServer
) -> None:
    """Of two that differ in a password alone one would never hear; with the word that the error asks for, both do."""
    day, night = (f"json://user:{password}@127.0.0.1:{people.port}/hook" for password in ("one", "two"))
    with (
        open_test_house(tmp_path, moderator_channels=f"{day} {night}") as house,
        pytest.raises(SettingsError, match=r"tell them apart .* \?haro=night"),
    ):
        house.check_channels()

    apart = f"{day} {night}?haro=night"
    with open_test_house(tmp_path, now=FakeClock(HEARD_UTC), moderator_channels=apart) as house:
        house.check_channels()
        tell(house, heard(1))
        assert house.deliver().sent == 2

    assert len({headers["Authorization"] for _, headers, _ in people.requests}) == 2
