"""`haro run` beside another one; what it does alone is in tests/test_pipeline.py."""

from __future__ import annotations

from pathlib import Path

from shared.demo.station import Station
from tests.pipeline import haro, hydrophones_file, publish_synthetic, run_haro


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
