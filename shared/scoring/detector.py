"""The model at work: one ONNX session that turns log-mel windows into scores and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from shared.errors import ModelError
from shared.scoring.model_file import ModelMetadata, parse_metadata

INPUT, OUTPUTS = "mel", ("probabilities", "embedding")

# What onnxruntime raises for a file it cannot load or run; they have no base class but Exception.
_ORT_ERRORS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)

_LOG_ERRORS_ONLY = 3


@dataclass(frozen=True)
class Scores:
    """What the model says of n windows: `scores` (n,) are probabilities of an orca call, `embeddings` (n, d)."""

    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]


class Detector:
    """A loaded model. One per process is enough: `score` may be called from several threads at once."""

    def __init__(self, session: ort.InferenceSession, metadata: ModelMetadata, *, batch_size: int) -> None:
        self.metadata = metadata
        self._session = session
        self._batch_size = batch_size

    @classmethod
    def load(cls, path: Path, *, threads: int = 1, batch_size: int = 2) -> Self:
        """Load the model file at `path`, to run on `threads` CPU threads and at most `batch_size` windows at a time.

        Memory grows with the batch and speed does not, so batches are small. Raises ModelError, with every reason
        found, when the file is missing, is no ONNX model, has wrong metadata, or its inputs and outputs do not fit
        the metadata.
        """
        if threads < 1 or batch_size < 1:
            raise ValueError(f"threads and batch_size must be at least 1, not {threads} and {batch_size}")
        session = _open(path, threads)
        problems = _wrong_tensors(session)
        try:
            metadata = parse_metadata(session.get_modelmeta().custom_metadata_map, source=str(path))
        except ModelError as error:
            raise ModelError("; ".join([str(error), *problems])) from error
        problems += _wrong_shapes(session, metadata)
        if problems:
            raise ModelError(f"{path}: the model does not fit its metadata: {'; '.join(problems)}. Export it again.")
        return cls(session, metadata, batch_size=batch_size)

    def try_out(self, windows: int = 2) -> float:
        """Score a window of silence, and others of noise; returns what silence scores. Raises ModelError as `score`."""
        front_end = self.metadata.front_end
        mel_input = np.full((windows, front_end.n_mels, front_end.input_frames), -60.0, np.float32)
        mel_input[1:] += np.random.default_rng(0).normal(0.0, 20.0, mel_input[1:].shape).astype(np.float32)
        return float(self.score(mel_input).scores[0])

    def score(self, mel_input: NDArray[np.float32]) -> Scores:
        """Score windows (n, mels, input_frames), as `LogMel.model_input` makes them; n may be 0.

        Raises ModelError when the model fails, when its answer is not what its metadata promises, or when that holds a
        value that is no number.
        """
        front_end, dim = self.metadata.front_end, self.metadata.embedding_dim
        expected = (len(mel_input), front_end.n_mels, front_end.input_frames)
        if mel_input.shape != expected:
            raise ValueError(f"{self.metadata.model_version} takes windows {expected}, not {mel_input.shape}")
        scores = np.empty(len(mel_input), np.float32)
        embeddings = np.empty((len(mel_input), dim), np.float32)
        for start in range(0, len(mel_input), self._batch_size):
            batch = mel_input[start : start + self._batch_size]
            try:
                probabilities, embedding = self._session.run(OUTPUTS, {INPUT: np.ascontiguousarray(batch, np.float32)})
            except _ORT_ERRORS as error:
                raise ModelError(f"{self.metadata.model_version} fails when it scores: {error}") from error
            if probabilities.shape != (len(batch), len(self.metadata.classes)) or embedding.shape != (len(batch), dim):
                raise ModelError(
                    f"{self.metadata.model_version} answered {len(batch)} windows with probabilities "
                    f"{probabilities.shape} and embedding {embedding.shape}, unlike its metadata: export it again"
                )
            scores[start : start + len(batch)] = probabilities[:, self.metadata.positive_index]
            embeddings[start : start + len(batch)] = embedding
        if not (np.isfinite(scores).all() and np.isfinite(embeddings).all()):
            raise ModelError(f"{self.metadata.model_version} answered with values that are no numbers: do not use it")
        # A softmax in float32 may leave 0-1 by one rounding; nothing else may.
        if scores.size and (scores.min() < -1e-5 or scores.max() > 1 + 1e-5):
            raise ModelError(f"{self.metadata.model_version} gives no probabilities: export it with its softmax")
        return Scores(np.clip(scores, 0.0, 1.0), embeddings)


def _open(path: Path, threads: int) -> ort.InferenceSession:
    if not path.is_file():
        raise ModelError(f"{path}: there is no such model file")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_ERRORS_ONLY
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _ORT_ERRORS as error:
        raise ModelError(f"{path}: this is no ONNX model that can be run here: {error}") from error


def _wrong_tensors(session: ort.InferenceSession) -> list[str]:
    """What is wrong with the names and types of inputs and outputs."""
    problems = []
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    if set(inputs) != {INPUT}:
        problems.append(f"its inputs are {sorted(inputs)}, not ['{INPUT}']")
    problems += [f"it has no output '{name}', only {sorted(outputs)}" for name in OUTPUTS if name not in outputs]
    known = {name: tensor for name, tensor in (inputs | outputs).items() if name in (INPUT, *OUTPUTS)}
    problems += [
        f"'{name}' is {tensor.type}, not tensor(float)"
        for name, tensor in known.items()
        if tensor.type != "tensor(float)"
    ]
    return problems


def _wrong_shapes(session: ort.InferenceSession, metadata: ModelMetadata) -> list[str]:
    """Where a shape written in the model differs from its metadata; a dimension left free fits anything."""
    expected = {
        INPUT: ("windows", metadata.front_end.n_mels, metadata.front_end.input_frames),
        OUTPUTS[0]: ("windows", len(metadata.classes)),
        OUTPUTS[1]: ("windows", metadata.embedding_dim),
    }
    tensors = [*session.get_inputs(), *session.get_outputs()]
    return [
        f"'{tensor.name}' has shape {tensor.shape}, not {list(expected[tensor.name])}"
        for tensor in tensors
        if tensor.name in expected and not _fits(tensor.shape, expected[tensor.name])
    ]


def _fits(shape: Sequence[Any], expected: Sequence[Any]) -> bool:
    """The first dimension must be free: any number of windows is scored at once."""
    if len(shape) != len(expected) or isinstance(shape[0], int):
        return False
    return all(
        not isinstance(size, int) or size == wanted for size, wanted in zip(shape[1:], expected[1:], strict=True)
    )
