"""`haro doctor`: what is wrong is named, and what to do."""

from __future__ import annotations

from pathlib import Path

from shared.demo.node import Node
from shared.demo.station import Station
from tests.pipeline import hydrophones_file, publish_synthetic, run_haro


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
