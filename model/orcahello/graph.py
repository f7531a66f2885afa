"""The network as an ONNX graph, built node by node from its weights: no torch, and no code but this.

Batch norms are folded into the layer before or after them. Both are exact, for a norm in evaluation mode is a scale and
an offset per channel: after a convolution they scale its filters, before a linear layer its columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from model.orcahello.weights import BATCH_NORM, CLASSES, EMBEDDING_DIM, Weights, block_names
from shared.scoring.detector import INPUT, OUTPUTS
from shared.scoring.model_file import METADATA_KEY, ModelMetadata

OPSET, IR_VERSION = 18, 10
_EPSILON = 1e-5
"""torch.nn.BatchNorm's, which the published network leaves as it is."""

Array = NDArray[np.float64]


def build(weights: Weights, metadata: ModelMetadata) -> Any:
    """The onnx.ModelProto: `mel` (n, mels, frames) to `probabilities` (n, 2) and `embedding` (n, 512) of n windows.

    The embedding is what the last layer sees of a window, before its norm: the rectified 512 of the layer before it.
    """
    graph = _Graph(weights)
    x = graph.node("Unsqueeze", [INPUT, graph.constant("channel_axis", np.array([1], np.int64))], "mel_image")
    x = graph.relu(graph.conv(x, "conv1", "bn1", stride=2, pad=3))
    x = graph.node("MaxPool", [x], "maxpool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for name, _, _, stride in block_names():
        y = graph.relu(graph.conv(x, f"{name}.conv1", f"{name}.bn1"))
        y = graph.relu(graph.conv(y, f"{name}.conv2", f"{name}.bn2", stride=stride, pad=1))
        y = graph.conv(y, f"{name}.conv3", f"{name}.bn3")
        if f"{name}.downsample.0.weight" in weights:
            x = graph.conv(x, f"{name}.downsample.0", f"{name}.downsample.1", stride=stride)
        x = graph.relu(graph.node("Add", [y, x], f"{name}.add"))
    pooled = [graph.node("GlobalMaxPool", [x], "max_pool"), graph.node("GlobalAveragePool", [x], "average_pool")]
    x = graph.node("Flatten", [graph.node("Concat", pooled, "pooled", axis=1)], "flat", axis=1)
    x = graph.node("Relu", [graph.linear(x, "fc.3", norm_before="fc.1")], OUTPUTS[1])
    x = graph.linear(x, "fc.7", norm_before="fc.5")
    graph.node("Softmax", [x], OUTPUTS[0], axis=1)
    return graph.model(metadata)


class _Graph:
    """Nodes and constants as they come to be; every method returns the name of what it computes."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}.{kind}", **attributes))
        return output

    def constant(self, name: str, values: NDArray[Any]) -> str:
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def relu(self, x: str) -> str:
        return self.node("Relu", [x], f"{x}.relu")

    def conv(self, x: str, name: str, norm: str, *, stride: int = 1, pad: int = 0) -> str:
        """A convolution without bias, and the norm after it."""
        scale, offset = self._norm(norm)
        filters = self._float64(f"{name}.weight") * scale[:, None, None, None]
        inputs = [x, self._float32(f"{name}.weight", filters), self._float32(f"{name}.bias", offset)]
        size = list(filters.shape[2:])
        return self.node("Conv", inputs, name, kernel_shape=size, strides=[stride, stride], pads=[pad] * 4)

    def linear(self, x: str, name: str, *, norm_before: str) -> str:
        """A norm, and the linear layer after it."""
        scale, offset = self._norm(norm_before)
        matrix = self._float64(f"{name}.weight")
        bias = self._float64(f"{name}.bias") + matrix @ offset
        inputs = [x, self._float32(f"{name}.weight", matrix * scale), self._float32(f"{name}.bias", bias)]
        return self.node("Gemm", inputs, name, transB=1)

    def model(self, metadata: ModelMetadata) -> Any:
        front_end = metadata.front_end
        graph = helper.make_graph(
            self._nodes,
            metadata.name,
            [_tensor(INPUT, front_end.n_mels, front_end.input_frames)],
            [_tensor(OUTPUTS[0], len(CLASSES)), _tensor(OUTPUTS[1], EMBEDDING_DIM)],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="haro")
        helper.set_model_props(model, {METADATA_KEY: metadata.model_dump_json()})
        onnx.checker.check_model(model, full_check=True)
        return model

    def _norm(self, name: str) -> tuple[Array, Array]:
        """The norm as y = scale * x + offset, (channels,) each."""
        weight, bias, mean, var = (self._float64(f"{name}.{part}") for part in BATCH_NORM)
        scale = weight / np.sqrt(var + _EPSILON)
        return scale, bias - mean * scale

    def _float64(self, name: str) -> Array:
        return self._weights[name].astype(np.float64)

    def _float32(self, name: str, values: Array) -> str:
        return self.constant(name, values.astype(np.float32))


def _tensor(name: str, *sizes: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["windows", *sizes])
