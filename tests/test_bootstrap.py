"""The composition root: one station per data folder, everything closed at the end, nothing made before it is needed."""

from __future__ import annotations

import gc
import logging
from pathlib import Path

import pytest

from shared.bootstrap import bundled_model, load_detector, open_house, the_hydrophones
from shared.demo.station import Station
from shared.documents import OUTBOX, ClipResult, SegmentBatch
from shared.errors import HydrophoneError, ModelError, SettingsError, StationBusy, StorageError
from shared.hydrophones import bundled_hydrophones
from shared.recording.lease import Lease
from shared.settings import load_settings
from shared.storage.ports import Message
from tests.clock import FakeClock
from tests.house import HEARD_UTC, fake_detector, open_test_house, publish
from tests.scoring.fakes import FakeDetector
from tests.scoring.tiny_model import write_tiny_model


def test_two_stations_on_one_folder_are_one_too_many(tmp_path: Path) -> None:
    """The second is told which folder is taken and what to do; the first goes on, and its end frees the folder."""
    settings = load_settings(data=tmp_path / "data")

    with open_house(settings, exclusive=True) as first:
        with (
            pytest.raises(StationBusy, match=rf"^another Haro is at work on {tmp_path / 'data'}: stop that one first"),
            open_house(settings, exclusive=True),
        ):
            pytest.fail("a second station was opened")
        first.storage.batches.send([Message("a", "{}")])
        with open_house(load_settings(data=tmp_path / "elsewhere"), exclusive=True):
            pass
    with open_house(settings, exclusive=True) as again:
        assert again.storage.batches.stats().active == 1


def test_looking_in_needs_no_lock(tmp_path: Path) -> None:
    """What only reads or replays opens the folder of a station at work, and takes nothing out of its hands."""
    settings = load_settings(data=tmp_path)

    with open_house(settings, exclusive=True) as at_work:
        at_work.storage.batches.send([Message("a", "{}")])
        delivery = at_work.storage.batches.receive()
        assert delivery is not None
        with open_house(settings) as looking:
            assert looking.storage.batches.stats().active == 1
            assert looking.storage.batches.receive() is None
        at_work.storage.batches.complete(delivery)


def test_what_a_killed_station_held_is_taken_up(tmp_path: Path) -> None:
    """Locked messages, half-written files and the right to a channel end with the process that had them."""
    settings = load_settings(data=tmp_path, moderator_channels="json://127.0.0.1:9/hook", lock_s=3600.0)
    clock = FakeClock()
    with open_house(settings, now=clock) as killed:
        for queue in killed.storage.queues.values():
            queue.send([Message("a", "{}")])
            assert queue.receive() is not None
        (tmp_path / ".tmp" / "half").write_bytes(b"half")
        (channel,) = killed.channels
        assert Lease(killed.storage.documents, channel.id, length_s=3600.0, now=clock).take()

    with open_house(settings, exclusive=True, now=clock) as house:
        for queue in house.storage.queues.values():
            delivery = queue.receive()
            assert delivery is not None
            assert delivery.delivery_count == 2
        assert list((tmp_path / ".tmp").iterdir()) == []
        assert house.storage.documents.query(OUTBOX) == []


def test_nothing_is_left_open(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """After the block the database is closed and no file or socket is left, also when the block failed."""
    with pytest.raises(ZeroDivisionError), open_house(load_settings(data=tmp_path), exclusive=True) as house:
        raise ZeroDivisionError

    with pytest.raises(StorageError):
        house.storage.batches.stats()
    with open_house(load_settings(data=tmp_path), exclusive=True):
        pass
    del house
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """A data folder that is a file is an error with its path."""
    (tmp_path / "taken").write_text("")

    with (
        pytest.raises(StorageError, match=f"{tmp_path / 'taken'}"),
        open_house(load_settings(data=tmp_path / "taken"), exclusive=True),
    ):
        pytest.fail("a house was opened")


def test_wrong_hydrophones_and_channels_are_told_before_anything_is_polled(tmp_path: Path) -> None:
    """A station that could not do what it is told to does not start."""
    (tmp_path / "ours.toml").write_text('[[hydrophone]]\nid = "Bad Id"\n')
    with (
        pytest.raises(HydrophoneError, match=r"ours\.toml: hydrophone 1: id"),
        open_house(load_settings(data=tmp_path, hydrophones=tmp_path / "ours.toml")),
    ):
        pytest.fail("a house was opened")
    with (
        pytest.raises(SettingsError, match="the URL of a channel for moderators cannot be read") as caught,
        open_house(load_settings(data=tmp_path, moderator_channels="json://SESAME@[::1"), exclusive=True),
    ):
        pytest.fail("a house was opened")
    assert "SESAME" not in str(caught.value)


def test_without_a_list_it_is_orcasounds(tmp_path: Path) -> None:
    """No file named means Orcasound's public hydrophones; a file named means that file and nothing else."""
    assert the_hydrophones(load_settings()) == bundled_hydrophones()

    (tmp_path / "ours.toml").write_text('[[hydrophone]]\nid = "ours"\n')
    (only,) = the_hydrophones(load_settings(hydrophones=tmp_path / "ours.toml"))
    assert only.id == "ours"


def test_the_model_is_loaded_on_first_use_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that only polls never pays for the model; one that scores pays once."""
    loaded: list[FakeDetector] = []

    def load(_: object) -> FakeDetector:
        loaded.append(FakeDetector())
        return loaded[-1]

    monkeypatch.setattr("shared.bootstrap.load_detector", load)
    with open_house(load_settings(data=tmp_path), hydrophones=[], exclusive=True) as house:
        house.poll()
        house.backfill()
        house.deliver()
        house.clean()
        assert loaded == []
        assert house.detector is house.detector
    assert len(loaded) == 1


def test_the_model_named_in_the_settings_is_used(tmp_path: Path) -> None:
    """HARO_MODEL names another model; a file that is none is told by its name; without it there is the bundled one."""
    tiny = write_tiny_model(tmp_path / "tiny.onnx")
    (tmp_path / "none.onnx").write_text("no model")

    assert load_detector(load_settings(model=tiny)).metadata.name == "tiny"
    with pytest.raises(ModelError, match=r"none\.onnx"):
        load_detector(load_settings(model=tmp_path / "none.onnx"))
    assert bundled_model().is_file()


def test_the_settings_reach_the_stages(station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Formats and limits arrive where they count: clips as WAV, and no segment accepted that is larger than allowed."""
    fake_detector(monkeypatch, 0.1)
    node = publish(station, 6)

    def score_all(data: Path, **settings: object) -> ClipResult:
        with open_test_house(data, node, now=FakeClock(HEARD_UTC), **settings) as house:
            house.poll()
            delivery = house.storage.batches.receive()
            assert delivery is not None
            return house.score(SegmentBatch.parse(delivery.message.body, source="message"), last_try=False).result

    as_wav = score_all(tmp_path / "wav", clip_format="wav")
    assert as_wav.gaps == ()
    assert (as_wav.audio_blob or "").endswith(".wav")
    too_large = score_all(tmp_path / "large", max_clip_bytes=2**16)
    assert {(gap.reason, "limit" in gap.detail) for gap in too_large.gaps} == {("corrupt", True)}
    assert (len(too_large.gaps), too_large.audio_blob) == (6, None)


def test_a_disk_that_stays_short_is_said_aloud(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Cleaning tells of a disk below its reserve when nothing may be deleted, and is silent where there is room."""
    with open_house(load_settings(data=tmp_path, min_free_gb=0.0), hydrophones=[]) as house:
        house.clean()
    assert caplog.records == []

    with open_house(load_settings(data=tmp_path, min_free_gb=1e9), hydrophones=[]) as house:
        house.clean()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "GB short of HARO_MIN_FREE_GB" in record.getMessage()
