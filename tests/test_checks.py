"""What is found of a house's parts: above all, whether it hears what is published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from shared.checks import Finding, check_hearing, check_stream
from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import CLIPS, SENT, SentBatch
from shared.house import House
from shared.recording.detections import clip_record
from tests.clock import FakeClock
from tests.house import HEARD_UTC, open_test_house, publish
from tests.pipeline import EPOCHS, encoded_folders
from tests.recording.fakes import make_result
from tests.upkeep.conftest import make_batch

MINUTE = timedelta(minutes=1)


@contextmanager
def listening(folder: Path, *, segments: int = 15) -> Iterator[House]:
    """A house and one hydrophone, whose newest sound is a few minutes old."""
    with Station() as station, open_test_house(folder, publish(station, segments), now=FakeClock(HEARD_UTC)) as house:
        yield house


def published_utc(house: House) -> datetime:
    """The end of what is published."""
    (hydrophone,) = house.hydrophones
    return house.streams.playlist(hydrophone, EPOCHS[0]).segments[-1].end_utc


def remember(house: House, start_utc: datetime, *, sound: bool = True) -> None:
    """A clip of a minute was recorded."""
    result = make_result(start_utc, hydrophone_id="test_node")
    if not sound:
        (gap,) = result.gaps
        gap = gap.model_copy(update={"start_utc": start_utc, "end_utc": start_utc + MINUTE})
        result = result.model_copy(update={"windows": (), "gaps": (gap,)})
    assert house.storage.documents.create(CLIPS, clip_record(result, result_blob="results/x.json").to_json())


def hearing(house: House) -> Finding:
    """What is found of the hearing of the one hydrophone."""
    finding = check_hearing(house, house.hydrophones[0])
    assert finding is not None
    return finding


@pytest.mark.parametrize(("behind_s", "ok"), [(60, True), (899, True), (901, False)])
def test_what_is_published_is_to_be_scored(tmp_path: Path, *, behind_s: float, ok: bool) -> None:
    """A quarter of an hour between what is published and what is scored is deafness, and said."""
    with listening(tmp_path) as house:
        remember(house, published_utc(house) - timedelta(seconds=behind_s) - MINUTE)
        finding = hearing(house)

    assert finding.ok == ok
    assert finding.found.startswith("scored up to ")
    assert ("published up to" in finding.to_do) != ok


@pytest.mark.parametrize("heard", [True, False])
def test_minutes_without_any_sound_are_not_hearing(tmp_path: Path, *, heard: bool) -> None:
    """Clips of which every segment is missing or damaged hide no deafness, however many of them there are."""
    with listening(tmp_path) as house:
        newest = published_utc(house) - MINUTE
        for minutes in range(40):
            remember(house, newest - minutes * MINUTE, sound=heard)
        finding = hearing(house)

    assert finding.ok == heard
    assert ("ask who keeps the node" in finding.to_do) != heard


@pytest.mark.parametrize(("age_s", "ok"), [(30, True), (1000, False)])
def test_what_was_sent_is_to_be_recorded(tmp_path: Path, *, age_s: float, ok: bool) -> None:
    """With no clip at all, a batch on its way for a quarter of an hour shows that results get nowhere."""
    with listening(tmp_path) as house:
        sent = SentBatch.of(make_batch(0, "test_node"), sent_utc=house.now() - timedelta(seconds=age_s))
        house.storage.documents.create(SENT, sent.to_json())
        finding = hearing(house)

    assert (finding.ok, finding.found) == (ok, f"sent {age_s} s ago, nothing recorded yet")
    assert ("azd hooks run postdeploy" in finding.to_do) != ok


def test_in_azure_a_stream_that_was_never_polled_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the app polls by itself: a hydrophone without a cursor is wrong, while a station may just be new."""
    with listening(tmp_path, segments=3) as house:
        assert hearing(house).ok
        monkeypatch.setattr(house, "settings", house.settings.model_copy(update={"storage": "azure"}))
        never = hearing(house)
        house.poll()
        polled = hearing(house)

    assert (never.ok, never.found, "enqueue" in never.to_do) == (False, "never polled", True)
    assert polled.ok


def test_a_stream_that_cannot_be_read_is_told_once(tmp_path: Path) -> None:
    """It is the stream that is wrong then; of the hearing nothing is known, and nothing said."""
    with Station() as station, open_test_house(tmp_path, Node(station, "absent")) as house:
        (hydrophone,) = house.hydrophones
        assert not check_stream(house, hydrophone).ok
        assert check_hearing(house, hydrophone) is None


@pytest.mark.parametrize(("later_s", "ok"), [(100, True), (200, False)])
def test_a_stream_that_stopped_is_silent(tmp_path: Path, *, later_s: float, ok: bool) -> None:
    """Sound that is three minutes old is the node's silence, told as such."""
    with listening(tmp_path) as house:
        clock = FakeClock(published_utc(house) + timedelta(seconds=later_s))
        house.now = clock
        finding = check_stream(house, house.hydrophones[0])

    assert finding.ok == ok
    assert f"{later_s} s ago" in finding.found
    assert len(encoded_folders()[0]) == 15
