"""Models are promoted again and again while others score: each answer and each clip is wholly of the model it names."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import ClipResult
from shared.registry.registry import Registry
from shared.registry.served import ServedModel
from shared.registry.trial import admit
from shared.runner import Runner
from shared.scoring.detector import Detector
from shared.scoring.model_file import METADATA_KEY, MeanTopK
from tests.clock import FakeClock
from tests.house import HEARD_UTC, open_test_house
from tests.memory_blobs import MemoryBlobs
from tests.pipeline import leftovers, publish_synthetic, published
from tests.registry.conftest import Tiny, version
from tests.scoring.tiny_model import tiny_metadata, write_tiny_model

LEVELS_DB = {"0": -5.0, "1": -6.0, "2": -5.5, "3": -4.0}


def levels(result: ClipResult) -> NDArray[np.float64]:
    """Each window's mean level in dB, as its score gives it away to who knows the model."""
    scores = np.array([window.score for window in result.windows], np.float64)
    return np.log(scores / (1 - scores)) + LEVELS_DB[result.model_version.removeprefix("tiny/")]


def levels_alone(folder: Path, node: Node) -> dict[str, NDArray[np.float64]]:
    """Each batch's levels where one model scores them all, and detects nothing, which would take a picture each."""
    deaf = tiny_metadata(version="0").model_copy(update={"decision": MeanTopK(threshold=1.0, local_threshold=1.0)})
    model = write_tiny_model(
        folder / "alone.onnx", level_db=LEVELS_DB["0"], properties={METADATA_KEY: deaf.model_dump_json()}
    )
    clock = FakeClock(HEARD_UTC)
    with open_test_house(folder / "alone", node, now=clock, stall_s=1.0, model=model) as house:
        while house.poll()[0].batches or house.backfill():
            while delivery := house.storage.batches.receive():
                house.score_message(delivery)
                house.storage.batches.complete(delivery)
            clock.advance(60)  # the end of a folder is read twice, some seconds apart
    return {result.batch_id: levels(result) for result in leftovers(folder / "alone").results}


def test_promoted_under_load(tmp_path: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """No segment is lost or scored twice, models of several versions score, and each window is by the clip's own."""
    bundled = write_tiny_model(tmp_path / "bundled.onnx", version="0", level_db=LEVELS_DB["0"])
    monkeypatch.setattr("shared.bootstrap.bundled_model", lambda: bundled)
    numbers = cycle("123")
    promotions: list[Future[None]] = []

    with Station() as station, ThreadPoolExecutor(1) as pool:
        node = publish_synthetic(station, "test_node")
        expected = levels_alone(tmp_path, node)

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

    after = leftovers(tmp_path / "data")
    everything = dict.fromkeys(published(node.name), 1)
    assert after.accounted() == everything
    assert {result.model_version for result in after.results} == {"tiny/0", "tiny/1", "tiny/2", "tiny/3"}
    for result in after.results:
        np.testing.assert_allclose(levels(result), expected[result.batch_id], atol=0.02, err_msg=result.batch_id)


@pytest.mark.usefixtures("tried_here")
def test_swapped_under_load_no_answer_is_half_of_one_model(tiny: Tiny, tmp_path: Path) -> None:
    """Threads score while models change: each answer is wholly that of the model it names, and nobody waits in vain.

    Window levels and models' levels are such that each pair of model and window has a score of its own.
    """
    registry = Registry(MemoryBlobs(), now=FakeClock())
    for number in range(4):
        registry.add(tiny(str(number), float(number)), "# tiny", ref=version(number), by="ann")
    ticks = iter(range(10**9))
    model = ServedModel(
        partial(Detector.load, write_tiny_model(tmp_path / "bundled.onnx", version="bundled", level_db=9.0)),
        registry,
        partial(admit, threads=1, batch_size=2),
        look_every_s=1.0,
        clock=lambda: float(next(ticks)),  # it is always time to look
    )
    level_of = {"bundled": 9.0} | {str(number): float(number) for number in range(4)}
    front_end = model().metadata.front_end
    windows = np.stack(
        [np.full((front_end.n_mels, front_end.input_frames), level, np.float32) for level in np.linspace(-2, 2, 7)]
    )
    stop = threading.Event()
    scored = threading.Condition()
    versions: set[str] = set()

    def score_clips() -> None:
        while not stop.wait(0.001):  # so that the others get their turn
            detector = model()
            levels = np.linspace(-2, 2, 7) - level_of[detector.metadata.version]
            np.testing.assert_allclose(detector.score(windows).scores, 1 / (1 + np.exp(-levels)), rtol=1e-5)
            with scored:
                versions.add(detector.metadata.version)
                scored.notify()

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(score_clips) for _ in range(2)]
        try:
            for promoted in islice(cycle("0123"), 40):
                with scored:
                    versions.clear()
                    registry.promote(version(promoted), by="ann", reason="")
                    while promoted not in versions and not any(worker.done() for worker in workers):
                        scored.wait(timeout=1.0)
        finally:
            stop.set()
    for worker in workers:
        worker.result()  # raises what it failed with
    assert model.problem == ""
