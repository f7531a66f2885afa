"""A model of convolutions, recordings, and the command that brings the one into eight bits by the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import typer
from onnx import TensorProto, helper, numpy_helper
from scipy.io import wavfile
from typer.testing import CliRunner

from model.quantize import main
from shared.demo.sea import orca_call, sea_noise
from shared.scoring.model_file import METADATA_KEY
from tests.scoring.tiny_model import TINY_FRONT_END, tiny_metadata

RATE_HZ = 8000
app = typer.Typer()
app.command()(main)


def write_convolutions(path: Path, *, outlier: float = 1.0, alike: bool = False) -> Path:
    """A model of the tiny front end with four convolutions and a linear layer of random weights.

    `outlier` multiplies one filter that the others do not need: it widens the range of what one layer puts out. With
    `alike` the weights of the second layer are all about as large as they can be.
    """
    rng = np.random.default_rng(0)
    shapes = {"first": (8, 1, 5, 5), "second": (8, 8, 3, 3), "third": (8, 8, 3, 3), "fourth": (4, 8, 3, 3)}
    nodes = [helper.make_node("Unsqueeze", ["mel", "axis"], ["x0"]), helper.make_node("Div", ["x0", "fifty"], ["x"])]
    constants: dict[str, Any] = {"axis": np.array([1], np.int64), "fifty": np.array(50, np.float32)}
    x = "x"
    for name, shape in shapes.items():
        weights: Any = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        if name == "second":
            weights[0] *= outlier
            weights = np.abs(weights) * 0.01 + 0.01 if alike else weights
        elif name == "third":
            weights[:, 0] = 0.0
        constants[f"{name}.weight"] = weights
        constants[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
        inputs = [x, f"{name}.weight", f"{name}.bias"]
        nodes.append(helper.make_node("Conv", inputs, [name], name=name, pads=[shape[2] // 2] * 4))
        nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"]))
        x = f"{name}.relu"
    constants |= {"last.weight": np.array([[-8, 8, -8, 8], [8, -8, 8, -8]], np.float32)}
    constants |= {"last.bias": np.zeros(2, np.float32)}
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "last.weight", "last.bias"], ["logits"], name="last", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]

    def tensor(name: str, *sizes: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["windows", *sizes])

    graph = helper.make_graph(
        nodes,
        "convolutions",
        [tensor("mel", TINY_FRONT_END.n_mels, TINY_FRONT_END.input_frames)],
        [tensor("probabilities", 2), tensor("embedding", 4)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: tiny_metadata().model_dump_json(), "other": "kept"})
    onnx.save(model, str(path))
    return path


def write_recordings(folder: Path) -> Path:
    """Two folders, each with three recordings of five seconds, one of them deeper down."""
    rng = np.random.default_rng(5)
    for index in range(6):
        sound = sea_noise(5.0, RATE_HZ, rng)
        call = orca_call(RATE_HZ, rng)[: 3 * RATE_HZ]
        sound[RATE_HZ : RATE_HZ + call.size] += call * (index % 3) / 4
        path = folder / ("calibration", "evaluation")[index // 3] / ("", "", "deep")[index % 3] / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, RATE_HZ, (sound * 12_000).astype(np.int16))
    (folder / "calibration" / "notes.txt").write_text("no sound", encoding="utf-8")
    return folder


def quantize(model: Path, recordings: Path, out: Path, *more: str) -> Any:
    """The command."""
    sets = ["--calibration", str(recordings / "calibration"), "--evaluation", str(recordings / "evaluation")]
    return CliRunner().invoke(app, ["--model", str(model), *sets, "--out", str(out), *more])
