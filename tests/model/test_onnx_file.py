"""What is written of a model, and what is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from model.onnx_file import save

NOTE = "File /home/somebody/model/network.py, line 31"
FLOATS = TensorProto.FLOAT


def noted(message: Any) -> Any:
    """The message with notes of its making, of every kind it has room for."""
    message.doc_string = NOTE
    entry = message.metadata_props.add()
    entry.key, entry.value = "pkg.torch.onnx.stack_trace", NOTE
    return message


def branch() -> Any:
    """A graph within a node."""
    value = noted(helper.make_tensor_value_info("branch", FLOATS, [1]))
    node = noted(helper.make_node("Constant", [], ["branch"], value_float=1.0))
    return noted(helper.make_graph([node], "branch", [], [value]))


def test_notes_go_wherever_they_are(tmp_path: Path) -> None:
    """Of a model with notes on every part the file has the model's own metadata alone, and the model keeps its own."""
    x, y, between = (noted(helper.make_tensor_value_info(name, FLOATS, [1])) for name in ("x", "y", "between"))
    flag = noted(helper.make_tensor("flag", TensorProto.BOOL, [], [True]))
    nodes = [
        noted(helper.make_node("If", ["flag"], ["between"], then_branch=branch(), else_branch=branch())),
        noted(helper.make_node("Twice", ["between"], ["y"], domain="ours")),
    ]
    graph = noted(helper.make_graph(nodes, "graph", [x], [y], [flag], value_info=[between]))
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ours", 1)]
    inner = noted(helper.make_node("Add", ["a", "a"], ["b"]))
    twice = noted(helper.make_function("ours", "Twice", ["a"], ["b"], [inner], opsets))
    model = helper.make_model(graph, opset_imports=opsets, functions=[twice], ir_version=10, doc_string=NOTE)
    helper.set_model_props(model, {"haro": "its own"})
    before = model.SerializeToString()

    save(model, tmp_path / "model.onnx")

    assert NOTE.encode() not in (tmp_path / "model.onnx").read_bytes()
    written = onnx.load(str(tmp_path / "model.onnx"))
    assert {entry.key: entry.value for entry in written.metadata_props} == {"haro": "its own"}
    assert [node.op_type for node in written.graph.node] == ["If", "Twice"]
    assert model.SerializeToString() == before
    onnx.checker.check_model(written)
