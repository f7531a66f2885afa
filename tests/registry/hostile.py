"""Model files that nobody should run, made from the tiny model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.scoring.tiny_model import write_tiny_model

MIB = 2**20


def _changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(str(write_tiny_model(path)))
    change(model)
    path.write_bytes(model.SerializeToString())
    return path


def custom_operator(path: Path) -> Path:
    """A model with an operator of somebody's own library."""

    def change(model: onnx.ModelProto) -> None:
        model.opset_import.append(helper.make_opsetid("com.example.tools", 1))
        model.graph.node[0].domain = "com.example.tools"
        model.graph.node[0].op_type = "RunCommand"

    return _changed(path, change)


def external_data(path: Path, location: str) -> Path:
    """A model whose weights are said to lie in another file of this machine."""

    def change(model: onnx.ModelProto) -> None:
        (tensor,) = [one for one in model.graph.initializer if one.name == "to_four"]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="length", value="16")

    return _changed(path, change)


def huge_tensor(path: Path, *, at_load: bool) -> Path:
    """A model of about a kilobyte that asks for 400 GB, when it is loaded or when it scores."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        size = np.array([100_000, 1_000_000], np.int64)
        if at_load:
            graph.initializer.append(numpy_helper.from_array(size, "size"))
        else:  # a size that is known only when a window comes
            graph.initializer.append(numpy_helper.from_array(size, "half_size"))
            graph.node.append(helper.make_node("Shape", ["mel"], ["mel_shape"], start=0, end=1))
            graph.node.append(helper.make_node("Div", ["mel_shape", "mel_shape"], ["one"]))
            graph.node.append(helper.make_node("Mul", ["half_size", "one"], ["size"]))
        graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["huge"]))
        _add_to_embedding(graph, "huge")

    return _changed(path, change)


def endless(path: Path) -> Path:
    """A model that never finishes a window."""

    def change(model: onnx.ModelProto) -> None:
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["go_on"], ["goes_on"]),
                helper.make_node("Add", ["sum_in", "sum_in"], ["sum_out"]),
            ],
            "body",
            [
                helper.make_tensor_value_info("number", TensorProto.INT64, []),
                helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("sum_in", TensorProto.FLOAT, None),
            ],
            [
                helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("sum_out", TensorProto.FLOAT, None),
            ],
        )
        graph = model.graph
        graph.initializer.append(numpy_helper.from_array(np.array(2**62, np.int64), "rounds"))
        graph.initializer.append(numpy_helper.from_array(np.ones((), np.bool_), "yes"))
        graph.node.append(helper.make_node("Loop", ["rounds", "yes", "mean_column"], ["looped"], body=body))
        _add_to_embedding(graph, "looped")

    return _changed(path, change)


def only_in_pairs(path: Path) -> Path:
    """A model that scores two windows at once, not one and not three, and hides that from who reads its shapes."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        graph.initializer.append(numpy_helper.from_array(np.array([2], np.int64), "two"))
        graph.initializer.append(numpy_helper.from_array(np.array([4], np.int64), "four"))
        graph.node.append(helper.make_node("Shape", ["mel"], ["mel_shape"], start=0, end=1))
        graph.node.append(helper.make_node("Div", ["mel_shape", "mel_shape"], ["one"]))
        graph.node.append(helper.make_node("Mul", ["one", "two"], ["pair"]))
        graph.node.append(helper.make_node("Concat", ["pair", "four"], ["pair_shape"], axis=0))
        (last,) = [node for node in graph.node if "embedding" in node.output]
        last.output[0] = "embedding_alone"
        graph.node.append(helper.make_node("ConstantOfShape", ["pair_shape"], ["nothing"]))
        graph.node.append(helper.make_node("Add", ["embedding_alone", "nothing"], ["embedding"]))

    return _changed(path, change)


def wordy(path: Path) -> Path:
    """A model whose mistake can only be told by quoting 2 MB of it."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "Z" * 2 * MIB

    return _changed(path, change)


def _add_to_embedding(graph: onnx.GraphProto, tensor: str) -> None:
    """Make the embedding depend on a tensor, so that nothing can leave it out."""
    graph.node.append(helper.make_node("ReduceSum", [tensor], ["total"], keepdims=0))
    (last,) = [node for node in graph.node if "embedding" in node.output]
    last.output[0] = "embedding_alone"
    graph.node.append(helper.make_node("Add", ["embedding_alone", "total"], ["embedding"]))


def fails_at_sea(path: Path) -> Path:
    """A model that scores silence and loud noise, and gives no number for a window of a level between them."""

    def change(model: onnx.ModelProto) -> None:
        graph = model.graph
        for name, level_db in (("loud", 10.0), ("silent", -9.0)):
            graph.initializer.append(numpy_helper.from_array(np.array([[level_db]], np.float32), name))
            graph.node.append(helper.make_node("Sub", ["mean_column", name], [f"above_{name}"]))
        graph.node.append(helper.make_node("Mul", ["above_loud", "above_silent"], ["product"]))
        graph.node.append(helper.make_node("Sqrt", ["product"], ["root"]))  # of a negative number, between the two
        _add_to_embedding(graph, "root")

    return _changed(path, change)
