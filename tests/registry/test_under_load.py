"""Models are promoted again and again while a station listens: every clip is scored once, wholly by what it names."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.demo.station import Station
from shared.documents import ClipResult
from shared.registry.served import ServedModel
from shared.runner import Runner
from shared.scoring.detector import Detector
from tests.house import open_test_house
from tests.pipeline import leftovers, publish_synthetic, published
from tests.registry.conftest import Tiny, version
from tests.scoring.tiny_model import write_tiny_model

LEVELS_DB = {"0": -5.0, "1": -6.0, "2": -5.5, "3": -4.0}


def levels(result: ClipResult) -> NDArray[np.float64]:
    """Each window's mean level in dB, as its score gives it away to who knows the model."""
    scores = np.array([window.score for window in result.windows], np.float64)
    return np.log(scores / (1 - scores)) + LEVELS_DB[result.model_version.removeprefix("tiny/")]


def test_promoted_under_load(tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """No segment is lost or scored twice, models of several versions score, and each window is by the clip's own."""
    bundled = write_tiny_model(tmp_path / "bundled.onnx", version="0", level_db=LEVELS_DB["0"])
    monkeypatch.setattr("shared.bootstrap.bundled_model", lambda: bundled)
    numbers = cycle("123")
    promotions: list[Future[None]] = []

    with Station() as station, ThreadPoolExecutor(1) as pool:
        node = publish_synthetic(station, "test_node")
        with open_test_house(tmp_path / "alone", node, stall_s=1.0, model=bundled) as house:
            Runner(house, tell=lambda event: None, idle_s=1.0).run()

        def promote() -> None:
            house.registry.promote(version(next(numbers)), by="ann", reason="")

        class Promoted(ServedModel):
            """While a clip is scored the next model is promoted; the next clip waits until that is done."""

            def __init__(self, *args: Any, **named: Any) -> None:
                super().__init__(*args, **named, look_every_s=0.0)

            def __call__(self) -> Detector:
                for promotion in promotions[-1:]:
                    promotion.result(timeout=60)
                detector = super().__call__()
                promotions.append(pool.submit(promote))
                return detector

        monkeypatch.setattr("shared.bootstrap.ServedModel", Promoted)
        with open_test_house(tmp_path / "data", node, stall_s=1.0) as house:
            for number in "123":
                house.registry.add(tiny(number, LEVELS_DB[number]), "# tiny", ref=version(number), by="ann")
            Runner(house, tell=lambda event: None, idle_s=2.0).run()
            assert house.model_problem == ""

    alone, after = leftovers(tmp_path / "alone"), leftovers(tmp_path / "data")
    everything = dict.fromkeys(published(node.name), 1)
    assert after.accounted() == everything
    assert {result.model_version for result in after.results} == {"tiny/0", "tiny/1", "tiny/2", "tiny/3"}
    expected = {result.batch_id: levels(result) for result in alone.results}
    for result in after.results:
        np.testing.assert_allclose(levels(result), expected[result.batch_id], atol=0.02, err_msg=result.batch_id)
