"""Which commands need a station that is there, and which begin one."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.bootstrap import bundled_model
from tests.cli.conftest import Models, begin_station
from tests.pipeline import run_haro


@pytest.mark.parametrize(
    "command",
    [
        ("detections",),
        ("review", "07b65474", "yes"),
        ("dead-letters",),
        ("dead-letters", "--replay"),
        ("models", "list"),
        ("models", "show", "tiny/1"),
        ("models", "promote", "bundled", "--reason", "x"),
        ("models", "rollback", "--reason", "x"),
        ("models", "diff", "production", "bundled", "--on", "."),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_a_mistyped_folder_is_no_quiet_station(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], *, is_there: bool
) -> None:
    """What only looks at a station, or changes one, refuses a folder that is none, and makes nothing there."""
    if is_there:
        (tmp_path / "tpyo").mkdir()
    (tmp_path / "call.wav").touch()
    monkeypatch.chdir(tmp_path)

    code, out, err = run_haro(*command, "--data", "tpyo")

    assert (code, out) == (1, "")
    assert err.startswith("haro: there is no station in tpyo; check --data or HARO_DATA")
    assert [path.name for path in tmp_path.rglob("*") if path.name != "tpyo"] == ["call.wav"]


def test_a_station_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's station, closed to this one, is an error in a sentence."""
    is_file = Path.is_file

    def closed(path: Path) -> bool:
        if path.name == "haro.sqlite":
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", closed)
    code, out, err = run_haro("detections", env={"HARO_DATA": str(tmp_path)})

    assert (code, out) == (1, "")
    assert err.startswith(f"haro: the station in {tmp_path} cannot be read: ")
    assert "Permission denied" in err


def test_a_station_that_heard_nothing_is_one(tmp_path: Path) -> None:
    """Where a station was begun, nothing found is an answer."""
    begin_station(tmp_path / "data")

    code, out, err = run_haro("detections", "--data", tmp_path / "data")

    assert (code, err) == (0, "")
    assert "0 detections" in out


def test_a_first_model_begins_a_station(tmp_path: Path) -> None:
    """Models can be kept before anything was heard."""
    Models(tmp_path).add(1)

    assert [model["name"] for model in Models(tmp_path).json("list")["models"]] == ["tiny"]


def test_files_and_the_bundled_model_need_no_station(recordings: Path, tmp_path: Path) -> None:
    """They are shown and compared without one, and none is made."""
    models = Models(tmp_path / "nowhere")

    assert models.json("show", "bundled")["entry"] is None
    found = models.json("diff", "bundled", bundled_model(), "--on", recordings / "0.wav")
    assert found["largest_change"] == 0.0
    assert not (tmp_path / "nowhere").exists()
