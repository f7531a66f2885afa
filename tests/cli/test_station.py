"""The commands of a station beside `run` and `score`: backfill, doctor, detections, review, dead-letters, demo."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.demo.node import Node
from shared.demo.station import Station
from tests.pipeline import EPOCHS, encoded_folders, haro, hydrophones_file, leftovers, publish_synthetic, run_haro


@pytest.fixture
def station() -> Iterator[Station]:
    """A server of streams on loopback."""
    with Station() as server:
        yield server


def utc(epoch: int, seconds: float) -> str:
    """A moment of a folder as people type it."""
    return (datetime.fromtimestamp(epoch, UTC) + timedelta(seconds=seconds)).isoformat()


def test_backfill_scores_the_range_and_nothing_else(station: Station, tmp_path: Path) -> None:
    """A range inside the first folder gives the whole batches around it, found by listing the bucket."""
    node = publish_synthetic(station, "test_node")

    code, out, err = run_haro(
        "backfill",
        "test-node",
        utc(EPOCHS[0], 70.0),
        utc(EPOCHS[0], 100.0),
        "--hydrophones",
        hydrophones_file(tmp_path, [node]),
        "--data",
        tmp_path / "data",
    )

    assert code == 0, out + err
    after = leftovers(tmp_path / "data")
    assert [result.provenance.segment_indices for result in after.results] == [(6, 7, 9, 10, 11)]
    assert {result.origin for result in after.results} == {"backfill"}


def test_backfill_without_audio_says_so(station: Station, tmp_path: Path) -> None:
    """A range nobody published in ends with 1 and a sentence."""
    node = publish_synthetic(station, "test_node")

    code, _, err = run_haro(
        "backfill",
        "test_node",
        "2020-09-01T15:13",
        "2020-09-01T16:45",
        "--hydrophones",
        hydrophones_file(tmp_path, [node]),
        "--data",
        tmp_path / "data",
    )

    assert code == 1
    assert "no audio was published in that range" in err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no_such_node", "2020-09-01T15:13", "2020-09-01T16:45"), "no hydrophone is called"),
        (("rpi_bush_point", "yesterday", "2020-09-01T16:45"), "is no time"),
        (("rpi_bush_point", "2020-09-01T16:45", "2020-09-01T15:13"), "not after START"),
        (("rpi_bush_point", "2026-03-08T02:30", "2026-03-08T05:00"), "clocks went forward"),
    ],
)
def test_backfill_refuses_nonsense(arguments: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    """Unknown hydrophones, times that are none, and ranges that run backwards each get their sentence."""
    code, out, err = run_haro("backfill", *arguments, "--data", tmp_path / "data")

    assert code in {1, 2}
    assert complaint in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in out + err


def test_backfill_beside_a_running_station_is_handed_to_it(station: Station, tmp_path: Path) -> None:
    """On a data folder where Haro runs, a backfill is left for that one, and it is done there."""
    node = Node(station, "test_node")
    node.start_folder(EPOCHS[0])
    for segment in encoded_folders()[0]:
        node.add(segment)
    node.start_folder(EPOCHS[1])
    for segment in encoded_folders()[1]:
        node.add(segment)
    file, data = hydrophones_file(tmp_path, [node]), tmp_path / "data"
    with haro(
        "run", "--hydrophones", file, "--data", data, env={"HARO_FIRST_CONTACT_S": "0", "HARO_POLL_INTERVAL_S": "0.2"}
    ) as running:
        try:
            assert running.stdout is not None
            running.stdout.readline()
            when = utc(EPOCHS[0], 70.0), utc(EPOCHS[0], 100.0)
            code, out, err = run_haro("backfill", "test_node", *when, "--hydrophones", file, "--data", data)
            lines = iter(running.stdout.readline, "")
            done = next(line for line in lines if "backfill up to" in line)
        finally:
            running.terminate()
            running.communicate(timeout=30)

    assert code == 0, err
    assert "takes up the backfill" in out
    assert "done: 1 clips" in done
    assert running.returncode == 0


def test_doctor_names_what_is_wrong_and_what_to_do(station: Station, tmp_path: Path) -> None:
    """A stream that is silent and one that is not there are both told, with what to do; the rest is in order."""
    silent = publish_synthetic(station, "silent_node")

    code, out, _ = run_haro(
        "doctor",
        "--hydrophones",
        hydrophones_file(tmp_path, [silent, Node(station, "absent_node")]),
        "--data",
        tmp_path / "data",
        env={"COLUMNS": "200"},
    )

    lines = {line.split("│")[1].strip(): line for line in out.splitlines() if line.startswith("│")}
    assert code == 1
    assert "ok" in lines["settings"]
    assert "ok" in lines["model"]
    assert "wrong" in lines["stream silent_node"]
    assert "wrong" in lines["stream absent_node"]


def test_doctor_shows_what_is_wrong_as_it_is(station: Station, tmp_path: Path) -> None:
    """Brackets in what was found, as models and files may have them, are shown and end nothing."""
    where = ("--hydrophones", hydrophones_file(tmp_path, [Node(station, "node")]), "--data", tmp_path / "data")

    code, out, err = run_haro("doctor", *where, env={"HARO_MODEL": "[/x].onnx", "COLUMNS": "200"})

    assert (code, "Traceback" in err) == (1, False)
    assert "[/x].onnx: there is no such model file" in out


def test_a_mistyped_channel_is_told_before_any_orca_calls(station: Station, tmp_path: Path) -> None:
    """Doctor and run both name the channel that nothing could be sent to, and show nothing of its secret."""
    where = ("--hydrophones", hydrophones_file(tmp_path, [Node(station, "node")]), "--data", tmp_path / "data")
    channels = {"HARO_MODERATOR_CHANNELS": "json://127.0.0.1:9/hook jsno://SESAME@host", "COLUMNS": "300"}

    for command, expected_code in (("doctor", 1), ("run", 2)):
        code, out, err = run_haro(command, *where, env=channels)
        told = " ".join((out + err).split())
        assert code == expected_code
        assert "jsno channel moderators-" in told
        assert "does not understand" in told
        assert "SESAME" not in told
        assert "json channel" not in told
        assert "Traceback" not in told


def test_doctor_reports_wrong_settings_by_name(tmp_path: Path) -> None:
    """Settings that are wrong are all named, and nothing else is tried."""
    code, out, _ = run_haro(
        "doctor", env={"HARO_LATE_S": "soon", "HARO_KEEP_DAYS": "-1", "HARO_DATA": str(tmp_path), "COLUMNS": "200"}
    )

    assert code == 1
    assert "HARO_LATE_S" in out
    assert "HARO_KEEP_DAYS" in out


def test_review_confirms_a_detection_in_orcahellos_words(station: Station, tmp_path: Path) -> None:
    """A detection is listed, confirmed by its first characters, and then carries the moderator's fields."""
    node = publish_synthetic(station, "test_node")
    data = tmp_path / "data"
    run_haro(
        "run", "--hydrophones", hydrophones_file(tmp_path, [node]), "--data", data, "--until-idle", "--idle-after", "1"
    )
    _, out, _ = run_haro("detections", "--json", "--data", data)
    first = json.loads(out.splitlines()[0])

    code, _, err = run_haro(
        "review",
        first["id"][:13],
        "yes",
        "--moderator",
        "sam",
        "--tags",
        "S01,S16",
        "--comments",
        "J pod",
        "--data",
        data,
    )

    assert code == 0, err
    _, out, _ = run_haro("detections", "--json", "--data", data)
    reviewed = next(body for body in map(json.loads, out.splitlines()) if body["id"] == first["id"])
    assert (reviewed["reviewed"], reviewed["SRKWFound"], reviewed["tags"]) == (True, "yes", "S01;S16")
    code, _, err = run_haro("review", "ffffffff", "no", "--data", data)
    assert code == 1
    assert "haro detections" in err


def test_dead_letters_of_a_fresh_station(tmp_path: Path) -> None:
    """A station where nothing went wrong has none, and replaying none is no error."""
    code, out, err = run_haro("dead-letters", "--replay", "--data", tmp_path / "data")

    assert code == 0, err
    assert "0 messages are back" in out


def test_second_haro_on_one_folder_is_refused(station: Station, tmp_path: Path) -> None:
    """Two Haros on one data folder would do the same work twice: the second one says so and ends with 1."""
    node = publish_synthetic(station, "test_node")
    arguments = ("run", "--hydrophones", hydrophones_file(tmp_path, [node]), "--data", tmp_path / "data")
    with haro(*arguments) as first:
        try:
            assert first.stdout is not None
            first.stdout.readline()
            code, _, err = run_haro(*arguments)
        finally:
            first.terminate()
            first.communicate(timeout=30)

    assert code == 1
    assert "another Haro is at work" in err


def test_demo_tells_what_it_heard_and_what_it_missed(tmp_path: Path) -> None:
    """The demo ends by itself with 0, with detections, its three gaps, and where the files lie."""
    code, out, err = run_haro("demo", "--data", tmp_path / "demo")

    assert code == 0, out + err
    for reason in ("missing", "corrupt", "stream restarted"):
        assert reason in out
    assert "3 gaps" in out
    after = leftovers(tmp_path / "demo")
    assert after.documents["metadata"]
    assert str(tmp_path / "demo" / "haro.sqlite") in out


def test_demo_never_empties_a_folder_it_did_not_make(tmp_path: Path) -> None:
    """A folder with something else in it is left alone, with a sentence."""
    (tmp_path / "thesis.txt").write_text("years of work")

    code, _, err = run_haro("demo", "--data", tmp_path)

    assert code == 1
    assert "no demo made" in err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
