"""A model that passed its trial and fails at sea stops nobody: the bundled one scores in its place, and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.checks import check_model
from shared.demo.station import Station
from shared.errors import ModelError
from tests.house import open_test_house, publish
from tests.pipeline import leftovers
from tests.registry import hostile
from tests.registry.conftest import version
from tests.scoring.tiny_model import write_tiny_model

pytestmark = pytest.mark.usefixtures("tried_here")


def test_the_bundled_model_scores_what_the_promoted_one_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The very clip is scored, by the bundled model; health says why; a model promoted after that is taken up."""
    bundled = write_tiny_model(tmp_path / "bundled.onnx", version="0")
    monkeypatch.setattr("shared.bootstrap.bundled_model", lambda: bundled)
    with Station() as station, open_test_house(tmp_path / "data", publish(station, 12), stall_s=1.0) as house:
        data = hostile.fails_at_sea(tmp_path / "bad.onnx").read_bytes()
        house.registry.add(data, "# tiny 1", ref=version(1), by="ann")
        house.registry.promote(version(1), by="ann", reason="it passed")
        assert house.detector.metadata.version == "1"
        assert check_model(house).ok

        house.poll()
        while delivery := house.storage.batches.receive():
            house.score_message(delivery)
            house.storage.batches.complete(delivery)

        finding = check_model(house)
    assert [result.model_version for result in leftovers(tmp_path / "data").results] == ["tiny/0", "tiny/0"]
    assert not finding.ok
    assert "but bundled: tiny/1 answered with values that are no numbers" in finding.found


def test_sound_that_no_model_can_score_changes_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bundled model fails with the same clip, that is an error of the batch, and production stays."""
    bundled = hostile.fails_at_sea(tmp_path / "bundled.onnx")
    monkeypatch.setattr("shared.bootstrap.bundled_model", lambda: bundled)
    with Station() as station, open_test_house(tmp_path / "data", publish(station, 6), stall_s=1.0) as house:
        house.registry.add(bundled.read_bytes(), "# tiny 1", ref=version(1), by="ann")
        house.registry.promote(version(1), by="ann", reason="it passed")
        house.poll()
        delivery = house.storage.batches.receive()
        assert delivery is not None
        with pytest.raises(ModelError, match="no numbers"):
            house.score_message(delivery)
        assert house.model_problem == ""
    assert leftovers(tmp_path / "data").results == []
