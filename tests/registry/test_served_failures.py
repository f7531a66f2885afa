"""Whatever is wrong with the model in production, scoring goes on with the last good one, and it is said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from shared.checks import check_model
from shared.documents import POINTER_BLOB, ModelRef
from shared.errors import ModelError, StorageError
from shared.registry.served import ServedModel
from shared.scoring.detector import Detector
from tests.house import open_test_house
from tests.registry.conftest import fetched, version
from tests.registry.served_desk import ServedDesk, serving
from tests.scoring.tiny_model import write_tiny_model

pytestmark = pytest.mark.usefixtures("tried_here")


def spoil_file(desk: ServedDesk, folder: Path) -> None:
    """Another file in the place of version 2."""
    desk.blobs.put(version(2).blob("model.onnx"), write_tiny_model(folder / "x.onnx").read_bytes())


def lose_file(desk: ServedDesk, folder: Path) -> None:
    """No file in the place of version 2."""
    desk.blobs.delete(version(2).blob("model.onnx"))


def spoil_pointer(desk: ServedDesk, folder: Path) -> None:
    """No pointer at all."""
    desk.blobs.put(POINTER_BLOB, b"{")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(spoil_file, "its SHA-256 is"), (lose_file, "gone from the registry"), (spoil_pointer, "promote a model")],
)
def test_the_last_good_model_goes_on(
    desk: ServedDesk,
    tmp_path: Path,
    spoil: Callable[[ServedDesk, Path], None],
    reason: str,
    caplog: pytest.LogCaptureFixture,
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


def test_a_refusal_is_told_as_long_as_it_holds(desk: ServedDesk, tmp_path: Path) -> None:
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
def test_promoted_again_it_is_tried_again(desk: ServedDesk, tmp_path: Path, *, seen_meanwhile: bool) -> None:
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


def test_a_bug_met_with_a_model_does_not_stop_the_scoring(desk: ServedDesk) -> None:
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


def test_a_store_that_is_away(desk: ServedDesk) -> None:
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


def test_with_no_model_at_all_it_says_so(desk: ServedDesk) -> None:
    """Where even the bundled model cannot be loaded, that is an error, until there is one."""

    def broken() -> Detector:
        raise ModelError("there is no such model file")

    desk.bundled = broken
    model = desk.serve()
    with pytest.raises(ModelError, match="no such model file"):
        model()
    desk.promote(1)
    assert desk.after_a_while(model) == "1"
