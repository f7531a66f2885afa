"""`haro dead-letters`: what was set aside."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import begin_station
from tests.pipeline import run_haro


def test_dead_letters_of_a_fresh_station(tmp_path: Path) -> None:
    """A station where nothing went wrong has none, and replaying none is no error."""
    begin_station(tmp_path / "data")

    code, out, err = run_haro("dead-letters", "--replay", "--data", tmp_path / "data")

    assert code == 0, err
    assert "0 messages are back" in out
