"""The smallest model there can be, for tests: a window's score is the logistic function of its mean level in dB."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from shared.scoring.model_file import METADATA_KEY, FrontEnd, MeanTopK, ModelMetadata

TINY_FRONT_END = FrontEnd(
    sample_rate_hz=8000,
    window_s=1.0,
    hop_s=0.5,
    peak_normalize=False,
    n_fft=512,
    hop_length=256,
    n_mels=16,
    mel_scale="htk",
    f_min_hz=0.0,
    f_max_hz=4000.0,
    filterbank_sample_rate_hz=8000,
    input_frames=40,
    pad="row_mean",
)


def tiny_metadata(front_end: FrontEnd = TINY_FRONT_END, *, version: str = "1") -> ModelMetadata:
    """What the tiny model says of itself."""
    return ModelMetadata(
        name="tiny",
        version=version,
        classes=("other", "call"),
        positive_class="call",
        embedding_dim=4,
        front_end=front_end,
        decision=MeanTopK(),
        training_data="none",
        licence="MIT",
    )


def write_tiny_model(
    path: Path,
    *,
    front_end: FrontEnd = TINY_FRONT_END,
    level_db: float = 0.0,
    version: str = "1",
    input_name: str = "mel",
    windows: int | str = "windows",
    properties: Mapping[str, str] | None = None,
) -> Path:
    """Write the model to `path`. A window of mean level `level_db` scores 0.5; every dB above it moves the logit by 1.

    Its embedding is the mean level, four times.
    """
    constants: dict[str, NDArray[Any]] = {
        "axes": np.array([1, 2], np.int64),
        "to_two": np.array([[0.0, 1.0]], np.float32),
        "to_four": np.ones((1, 4), np.float32),
        "level": np.array([level_db], np.float32),
        "column": np.array([-1, 1], np.int64),
    }
    nodes = [
        helper.make_node("ReduceMean", [input_name, "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["mean_column"]),
        helper.make_node("Sub", ["mean_column", "level"], ["above"]),
        helper.make_node("MatMul", ["above", "to_two"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("MatMul", ["mean_column", "to_four"], ["embedding"]),
    ]
    shape = [windows, front_end.n_mels, front_end.input_frames]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [windows, 2]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [windows, 4]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if properties is None:
        properties = {METADATA_KEY: tiny_metadata(front_end, version=version).model_dump_json()}
    helper.set_model_props(model, dict(properties))
    onnx.save(model, str(path))
    return path
