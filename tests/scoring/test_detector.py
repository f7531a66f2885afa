"""The detector on tiny models made here: what it answers, and what it refuses."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import ModelError
from shared.scoring.detector import Detector
from tests.registry import hostile
from tests.scoring.tiny_model import TINY_FRONT_END, tiny_metadata, write_tiny_model

WINDOW = (TINY_FRONT_END.n_mels, TINY_FRONT_END.input_frames)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A right model: a window's score is the logistic function of its mean level."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


def windows(levels: list[float]) -> np.ndarray:
    """One constant window per level."""
    return np.ones((len(levels), *WINDOW), np.float32) * np.array(levels, np.float32)[:, None, None]


def test_scores_are_those_of_the_positive_class(model: Path) -> None:
    """The score is the probability of the metadata's positive class, window for window, with its embedding."""
    answer = Detector.load(model).score(windows([-3.0, 0.0, 3.0]))

    assert answer.scores == pytest.approx(1 / (1 + np.exp([3.0, 0.0, -3.0])), abs=1e-6)
    assert answer.embeddings[:, 0] == pytest.approx([-3.0, 0.0, 3.0])
    assert answer.scores.dtype == answer.embeddings.dtype == np.float32


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_batches_do_not_change_the_answer(model: Path, batch_size: int) -> None:
    """However the windows are batched, none is lost, doubled or moved."""
    levels = [float(level) for level in np.linspace(-2, 2, 7)]

    answer = Detector.load(model, batch_size=batch_size).score(windows(levels))

    assert answer.embeddings[:, 0] == pytest.approx(levels)


def test_no_more_than_a_batch_at_a_time(model: Path) -> None:
    """The session never sees more windows than the batch size: memory is bounded by it."""
    detector = Detector.load(model, batch_size=3)
    seen: list[int] = []
    run = detector._session.run

    class Watched:
        def run(self, outputs: Any, inputs: dict[str, np.ndarray]) -> Any:
            seen.append(len(inputs["mel"]))
            return run(outputs, inputs)

    detector._session = Watched()

    detector.score(windows([0.0] * 8))

    assert seen == [3, 3, 2]


def test_no_windows_no_scores(model: Path) -> None:
    """An empty clip is no error."""
    answer = Detector.load(model).score(np.empty((0, *WINDOW), np.float32))

    assert answer.scores.shape == (0,)
    assert answer.embeddings.shape == (0, 4)


def test_windows_of_another_shape_are_refused(model: Path) -> None:
    """Windows that another front end made never reach the model."""
    with pytest.raises(ValueError, match="takes windows"):
        Detector.load(model).score(np.zeros((1, 3, 3), np.float32))


def test_metadata_comes_from_the_file(model: Path) -> None:
    """Everything about the model is read from its file."""
    assert Detector.load(model).metadata == tiny_metadata()


@pytest.mark.parametrize("content", [b"", b"not a model", pickle.dumps({"weights": [1, 2]}), b"\x00" * 4096])
def test_what_is_no_onnx_model_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty files, text and pickles are refused with their name; nothing in them is run."""
    path = tmp_path / "model.onnx"
    path.write_bytes(content)

    with pytest.raises(ModelError, match=r"model\.onnx"):
        Detector.load(path)


@pytest.mark.parametrize("name", ["absent.onnx", "."])
def test_a_missing_model_is_named(tmp_path: Path, name: str) -> None:
    """A wrong path, or a folder, is said to be no model file."""
    with pytest.raises(ModelError, match="there is no such model file"):
        Detector.load(tmp_path / name)


def test_a_model_without_metadata_is_refused(tmp_path: Path) -> None:
    """A model that does not say what it is must not be guessed at."""
    path = write_tiny_model(tmp_path / "bare.onnx", properties={})

    with pytest.raises(ModelError, match=r"bare\.onnx: the ONNX metadata has no 'haro' entry"):
        Detector.load(path)


def test_every_problem_is_reported_at_once(tmp_path: Path) -> None:
    """Wrong names, types and metadata stand in one message."""
    path = write_tiny_model(tmp_path / "odd.onnx", input_name="audio", properties={"haro": '{"name": ""}'})

    with pytest.raises(ModelError) as refusal:
        Detector.load(path)

    for part in ("name: String should have at least 1 character", "version: Field required", "inputs are ['audio']"):
        assert part in str(refusal.value)


def test_shapes_must_fit_the_metadata(tmp_path: Path) -> None:
    """A model of other mels and another number of dimensions than its metadata says is refused, both named."""
    metadata = tiny_metadata().model_copy(
        update={"front_end": TINY_FRONT_END.model_copy(update={"n_mels": 24}), "embedding_dim": 5}
    )
    path = write_tiny_model(tmp_path / "unfit.onnx", properties={"haro": metadata.model_dump_json()})

    with pytest.raises(ModelError) as refusal:
        Detector.load(path)

    assert "'mel' has shape ['windows', 16, 40], not ['windows', 24, 40]" in str(refusal.value)
    assert "'embedding' has shape ['windows', 4], not ['windows', 5]" in str(refusal.value)


def test_the_number_of_windows_must_be_free(tmp_path: Path) -> None:
    """A model exported for one window only would break on the first clip: it is refused when loaded."""
    with pytest.raises(ModelError, match="'mel' has shape"):
        Detector.load(write_tiny_model(tmp_path / "fixed.onnx", windows=1))


def test_a_model_that_answers_nan_is_refused(model: Path) -> None:
    """NaN from the model is an error, never a quiet 'no orca'."""
    with pytest.raises(ModelError, match="no numbers"):
        Detector.load(model).score(windows([0.0, float("nan")]))


def test_a_model_that_fails_with_a_window_is_refused(tmp_path: Path) -> None:
    """What onnxruntime raises while it scores is a model's error, told with the model's name."""
    detector = Detector.load(hostile.only_in_pairs(tmp_path / "pairs.onnx"), batch_size=3)
    assert len(detector.score(windows([0.0, 1.0])).scores) == 2
    with pytest.raises(ModelError, match="tiny/1 fails when it scores"):
        detector.score(windows([0.0, 1.0, 2.0]))
