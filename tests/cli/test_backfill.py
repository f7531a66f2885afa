"""`haro backfill`: past audio by date range."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.demo.node import Node
from shared.demo.station import Station
from tests.pipeline import EPOCHS, encoded_folders, haro, hydrophones_file, leftovers, publish_synthetic, run_haro


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
    """A range nobody published in ends with 1 and a sentence, without a table of nothing before it."""
    node = publish_synthetic(station, "test_node")

    code, out, err = run_haro(
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
    assert "detections" not in out
    assert "database" not in out


def test_backfill_that_reaches_nothing_says_only_why(tmp_path: Path) -> None:
    """When the bucket cannot be listed, there is the reason and no table of nothing, no folders that are not there."""
    with Station() as gone:
        node = Node(gone, "test_node")
    file = hydrophones_file(tmp_path, [node])

    when = utc(EPOCHS[0], 70.0), utc(EPOCHS[0], 100.0)
    code, out, err = run_haro("backfill", "test_node", *when, "--hydrophones", file, "--data", tmp_path / "data")

    assert code == 1
    assert "the backfill is not finished" in err
    assert "detections" not in out
    assert "database" not in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("no_such_node", "2020-09-01T15:13", "2020-09-01T16:45"), "no hydrophone is called"),
        (("rpi_bush_point", "yesterday", "2020-09-01T16:45"), "is no time"),
        (("rpi_bush_point", "2020-09-01T16:45", "2020-09-01T15:13"), "not after START"),
        (("rpi_bush_point", "2020-09-01T15:13", "2099-01-01"), "END 2099-01-01 lies in the future: it is now 20"),
        (("rpi_bush_point", "2099-01-01", "2099-01-02"), "START 2099-01-01 lies in the future: it is now 20"),
        (("rpi_bush_point", "2026-03-08T02:30", "2026-03-08T05:00"), "clocks went forward"),
    ],
)
def test_backfill_refuses_nonsense(arguments: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    """Unknown hydrophones, times that are none or to come, and ranges that run backwards: a sentence, nothing kept."""
    code, out, err = run_haro("backfill", *arguments, "--data", tmp_path / "data")

    assert code in {1, 2}
    assert complaint in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in out + err
    assert not (tmp_path / "data").exists()


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
