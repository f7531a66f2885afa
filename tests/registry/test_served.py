"""The model that scores is the one in production; whatever is wrong with that one, scoring goes on and it is said."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from shared.checks import check_model
from shared.documents import POINTER_BLOB, ModelRef
from shared.errors import ModelError, StorageError
from shared.registry.registry import Registry
from shared.registry.served import ServedModel
from shared.registry.trial import admit
from shared.scoring.detector import Detector
from shared.storage.ports import BlobStore
from tests.clock import FakeClock
from tests.house import open_test_house
from tests.memory_blobs import MemoryBlobs
from tests.registry import hostile
from tests.registry.conftest import Tiny, fetched, version
from tests.scoring.tiny_model import write_tiny_model

LOOK_EVERY_S = 60.0


@dataclass
class Desk:
    """A registry with versions 1 and 2, a bundled model of version 0, and what serves them; time moves by hand."""

    blobs: BlobStore
    registry: Registry
    bundled: Callable[[], Detector]
    time_s: float = 0.0
    admitted: list[str] = field(default_factory=list)

    def serve(self, pinned: ModelRef | None = None) -> ServedModel:
        """A new process's model."""

        def count(fetch: Callable[[BinaryIO], None], ref: ModelRef) -> Detector:
            self.admitted.append(str(ref))
            return admit(fetch, ref, threads=1, batch_size=2)

        return ServedModel(
            self.bundled, self.registry, count, pinned=pinned, look_every_s=LOOK_EVERY_S, clock=lambda: self.time_s
        )

    def promote(self, number: int | str) -> None:
        """Put a version in production."""
        self.registry.promote(version(number), by="ann", reason="test")

    def after_a_while(self, model: ServedModel) -> str:
        """The version that scores once it is time to look."""
        self.time_s += LOOK_EVERY_S
        return serving(model)


def serving(model: ServedModel) -> str:
    """The version that scores."""
    return model().metadata.version


@pytest.fixture
def desk(folder: BlobStore, registry: Registry, tiny: Tiny, tmp_path: Path) -> Desk:
    """See `Desk`."""
    for number in "12":
        registry.add(tiny(number), f"# tiny {number}", ref=version(number), by="ann")
    bundled = write_tiny_model(tmp_path / "bundled.onnx", version="0")
    return Desk(folder, registry, partial(Detector.load, bundled))


def test_without_a_promotion_the_bundled_model_scores(desk: Desk) -> None:
    """An empty pointer, and a process with no registry at all, leave the bundled one."""
    model = desk.serve()
    assert (serving(model), desk.after_a_while(model), model.problem) == ("0", "0", "")
    assert serving(ServedModel(desk.bundled, None, partial(admit, threads=1, batch_size=2))) == "0"


def test_a_promotion_is_taken_up_within_a_minute_and_a_rollback_too(desk: Desk) -> None:
    """Not before it is time to look, and then at once; back to the bundled one too. A new process starts with it."""
    model = desk.serve()
    assert serving(model) == "0"
    desk.promote(1)
    assert serving(model) == "0"
    assert desk.after_a_while(model) == "1"
    desk.promote(2)
    assert desk.after_a_while(model) == "2"
    assert serving(desk.serve()) == "2"
    desk.registry.rollback(by="ann", reason="")
    assert desk.after_a_while(model) == "1"
    desk.registry.promote(None, by="ann", reason="")
    assert (desk.after_a_while(model), model.problem) == ("0", "")


def test_an_unchanged_pointer_costs_one_question(desk: Desk) -> None:
    """The pointer is asked about once a minute however many clips come, and the model is fetched once."""
    asked = []
    ask = desk.blobs.get_if_changed

    def counting(name: str, *, etag: str | None) -> object:
        asked.append(etag)
        return ask(name, etag=etag)

    desk.blobs.get_if_changed = counting  # type: ignore[method-assign, assignment]  # counts
    desk.promote(1)
    asked.clear()
    model = desk.serve()
    for _ in range(5):
        assert {serving(model) for _ in range(10)} == {"1"}
        desk.time_s += LOOK_EVERY_S
    assert len(asked) == 5
    assert asked[0] is None
    assert len(set(asked[1:])) == 1
    assert desk.admitted == ["tiny/1"]


def spoil_file(desk: Desk, folder: Path) -> None:
    """Another file in the place of version 2."""
    desk.blobs.put(version(2).blob("model.onnx"), write_tiny_model(folder / "x.onnx").read_bytes())


def lose_file(desk: Desk, folder: Path) -> None:
    """No file in the place of version 2."""
    desk.blobs.delete(version(2).blob("model.onnx"))


def spoil_pointer(desk: Desk, folder: Path) -> None:
    """No pointer at all."""
    desk.blobs.put(POINTER_BLOB, b"{")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(spoil_file, "its SHA-256 is"), (lose_file, "gone from the registry"), (spoil_pointer, "promote a model")],
)
def test_the_last_good_model_goes_on(
    desk: Desk, tmp_path: Path, spoil: Callable[[Desk, Path], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was changed, lost or broken after it was promoted is told once, and the last good model scores."""
    desk.promote(1)
    model = desk.serve()
    assert serving(model) == "1"
    desk.promote(2)
    spoil(desk, tmp_path)
    with caplog.at_level(logging.ERROR):
        assert {desk.after_a_while(model) for _ in range(3)} == {"1"}
    assert "but tiny/1: " in model.problem
    assert reason in model.problem
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1

    desk.promote(1) if spoil is spoil_pointer else desk.registry.rollback(by="ann", reason="")
    assert (desk.after_a_while(model), model.problem) == ("1", "")


@pytest.mark.parametrize("make", [hostile.custom_operator, hostile.endless])
def test_a_hostile_model_is_tried_once(
    desk: Desk, tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that got into the registry all the same is refused by the worker, once, and another one is taken up."""
    data = make(tmp_path / "hostile.onnx").read_bytes()
    desk.registry.add(data, "# nice", ref=version("nice"), by="eve")
    desk.promote("nice")
    model = desk.serve()
    with monkeypatch.context() as impatient:
        impatient.setattr("shared.registry.trial.Limits.__init__.__defaults__", (2**30, 3))
        assert {serving(model), desk.after_a_while(model), desk.after_a_while(model)} == {"0"}
    assert "but bundled: model tiny/nice" in model.problem
    assert desk.admitted == ["tiny/nice"]
    desk.promote(1)
    assert (desk.after_a_while(model), model.problem) == ("1", "")


def test_a_refusal_is_told_as_long_as_it_holds(desk: Desk, tmp_path: Path) -> None:
    """What is said after the store was away for a while is what is wrong, not that it was away."""
    desk.promote(2)
    spoil_file(desk, tmp_path)
    model = desk.serve()
    assert (serving(model), "its SHA-256 is" in model.problem) == ("0", True)
    look = desk.blobs.get_if_changed

    def away(*arguments: object, **more: object) -> None:
        raise StorageError("no answer")

    desk.blobs.get_if_changed = away  # type: ignore[method-assign]  # a store that is away
    assert (desk.after_a_while(model), "no answer" in model.problem) == ("0", True)
    desk.blobs.get_if_changed = look  # type: ignore[method-assign]  # and back
    assert (desk.after_a_while(model), "its SHA-256 is" in model.problem) == ("0", True)
    assert desk.admitted == ["tiny/2"]


@pytest.mark.parametrize("seen_meanwhile", [True, False])
def test_promoted_again_it_is_tried_again(desk: Desk, tmp_path: Path, *, seen_meanwhile: bool) -> None:
    """A model that was refused, rolled back, mended and promoted once more scores, seen in between or not."""
    right = fetched(desk.registry, desk.registry.entry(version(2)))
    desk.promote(2)
    spoil_file(desk, tmp_path)
    model = desk.serve()
    assert serving(model) == "0"
    desk.registry.rollback(by="ann", reason="")
    if seen_meanwhile:
        assert (desk.after_a_while(model), model.problem) == ("0", "")
    desk.blobs.put(version(2).blob("model.onnx"), right)
    desk.registry.promote(version(2), by="ann", reason="mended")
    assert (desk.after_a_while(model), model.problem) == ("2", "")


def test_a_bug_met_with_a_model_does_not_stop_the_scoring(desk: Desk) -> None:
    """Whatever trying a model out raises, the last good one goes on, and it is said."""

    def broken(fetch: Callable[[BinaryIO], None], ref: ModelRef) -> Detector:
        raise ZeroDivisionError("by none")

    desk.promote(1)
    model = ServedModel(desk.bundled, desk.registry, broken)
    assert (serving(model), "ZeroDivisionError: by none" in model.problem) == ("0", True)


def test_health_says_so(tmp_path: Path) -> None:
    """The check of the model, which doctor and readiness show, tells of a model that is wanted and does not score."""
    with open_test_house(tmp_path / "data") as house:
        assert check_model(house).ok
    with open_test_house(tmp_path / "data") as house:
        house.storage.blobs.put(POINTER_BLOB, b"{")
        finding = check_model(house)
    assert (finding.ok, "haro models" in finding.to_do) == (False, True)
    assert "but bundled: blob models/production.json" in finding.found


def test_a_store_that_is_away(desk: Desk) -> None:
    """While the store does not answer the model stays; then the new one is taken up, though nothing changed."""
    fetch, look = desk.blobs.copy_to, desk.blobs.get_if_changed

    def away(*arguments: object, **more: object) -> None:
        raise StorageError("no answer")

    desk.promote(1)
    desk.blobs.copy_to = away  # type: ignore[method-assign]  # the pointer answers, the file does not
    model = desk.serve()
    assert (serving(model), "no answer" in model.problem) == ("0", True)
    desk.blobs.get_if_changed = away  # type: ignore[method-assign]  # nothing does
    assert (desk.after_a_while(model), "no answer" in model.problem) == ("0", True)
    desk.blobs.copy_to, desk.blobs.get_if_changed = fetch, look  # type: ignore[method-assign]  # all is well
    assert (desk.after_a_while(model), model.problem) == ("1", "")


def test_a_pinned_version_scores_whatever_is_promoted(desk: Desk) -> None:
    """The pin wins; one that is not there yet is tried when it comes; the bundled one's version needs no file."""
    desk.promote(1)
    pinned = desk.serve(version(2))
    assert (serving(pinned), desk.after_a_while(pinned), pinned.problem) == ("2", "2", "")

    early = desk.serve(version(3))
    assert (serving(early), "no model tiny/3" in early.problem) == ("0", True)
    desk.registry.add(fetched(desk.registry, desk.registry.entry(version(2))), "# 3", ref=version(3), by="ann")
    assert (desk.after_a_while(early), "calls itself tiny/2" in early.problem) == ("0", True)

    own = desk.serve(version(0))
    assert (serving(own), own.problem) == ("0", "")


def test_with_no_model_at_all_it_says_so(desk: Desk) -> None:
    """Where even the bundled model cannot be loaded, that is an error, until there is one."""

    def broken() -> Detector:
        raise ModelError("there is no such model file")

    desk.bundled = broken
    model = desk.serve()
    with pytest.raises(ModelError, match="no such model file"):
        model()
    desk.promote(1)
    assert desk.after_a_while(model) == "1"


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

    def score_clips() -> list[str]:
        versions = []
        while not stop.is_set():
            detector = model()
            levels = np.linspace(-2, 2, 7) - level_of[detector.metadata.version]
            np.testing.assert_allclose(detector.score(windows).scores, 1 / (1 + np.exp(-levels)), rtol=1e-5)
            versions.append(detector.metadata.version)
        return versions

    with ThreadPoolExecutor(2) as pool:
        workers = [pool.submit(score_clips) for _ in range(2)]
        try:
            for number, _ in zip(cycle(range(4)), range(6), strict=False):
                registry.promote(version(number), by="ann", reason="")
                while model().metadata.version != str(number):
                    assert not any(worker.done() for worker in workers)
        finally:
            stop.set()
    seen = [worker.result() for worker in workers]
    assert {one for versions in seen for one in versions} >= {"0", "1", "2", "3"}
    assert model.problem == ""
