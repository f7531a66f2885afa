"""A model's layers in eight bits: ONNX with QDQ nodes, weights per channel, ranges from recordings.

By onnxruntime.quantization. Activations are unsigned, weights signed and by default of seven bits: processors without
VNNI add pairs of products in 16 bits, where 2 * 255 * 127 does not fit and 2 * 255 * 64 does. So a model answers the
same on every processor, and what was measured here holds there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from model.onnx_file import save
from shared.errors import ModelError
from shared.scoring.detector import INPUT
from shared.scoring.frontend import Features
from shared.scoring.model_file import METADATA_KEY, parse_metadata

MADE_FROM_KEY = "haro.int8"
"""The metadata entry that says what a model was made from, and how."""

_LINEAR = ("Gemm", "MatMul")
LAYERS = ("Conv", *_LINEAR)
# What lies between layers stays in eight bits too. Not the last softmax: a score of 256 steps is none.
_BETWEEN = ("Add", "Relu", "MaxPool")


class Quantizer:
    """One model, calibrated once, to be written with any choice of layers in eight bits.

    `layers` are the names of those that can be; `edges` the first of them, and the linear ones.
    """

    def __init__(self, model: Path, windows: Iterable[Features], scratch: Path, *, full_range: bool = False) -> None:
        """Calibrate the file `model` with `windows` (n, mels, frames). `scratch` is an empty folder for drafts.

        Raises ModelError when it has no layer that could be quantized, or is quantized already.
        """
        loaded = onnx.load(str(model))
        used = {node.op_type for node in loaded.graph.node}
        if "QuantizeLinear" in used:
            raise ModelError(f"{model}: it is quantized already; start from the model it was made from")
        for number, node in enumerate(loaded.graph.node):
            node.name = node.name or f"{node.op_type}_{number}"
        self.layers = tuple(node.name for node in loaded.graph.node if node.op_type in LAYERS)
        if not self.layers:
            raise ModelError(f"{model}: it has none of the layers that can be quantized ({', '.join(LAYERS)})")
        linear = [node.name for node in loaded.graph.node if node.op_type in _LINEAR]
        self.edges = tuple(dict.fromkeys((self.layers[0], *linear)))
        self._kinds = [kind for kind in (*LAYERS, *_BETWEEN) if kind in used]
        self._properties = {entry.key: entry.value for entry in loaded.metadata_props}
        self._source = scratch / "source.onnx"
        self._ranges = scratch / "ranges.json"
        self._full_range = full_range
        onnx.save(loaded, str(self._source))
        self._write(scratch / "calibrated.onnx", _Reader(windows))
        (scratch / "calibrated.onnx").unlink()

    def write(self, path: Path, made_from: Mapping[str, Any], *, keep: Collection[str] = ()) -> None:
        """Write the model with every layer in eight bits but those in `keep`, and `made_from` in its metadata."""
        self._write(path, None, nodes_to_exclude=list(keep))
        self._describe(path, made_from)

    def write_only(self, path: Path, layer: str) -> None:
        """Write the model with this one layer in eight bits."""
        self._write(path, None, nodes_to_quantize=[layer])
        self._describe(path, {})

    def _write(self, path: Path, reader: _Reader | None, **choice: list[str]) -> None:
        with _without_advice():
            quantize_static(
                self._source,
                path,
                reader,
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=self._kinds,
                per_channel=True,
                reduce_range=not self._full_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibration_cache_path=self._ranges,
                **choice,
            )

    def _describe(self, path: Path, made_from: Mapping[str, Any]) -> None:
        """Carry the metadata over; the version says that scores are of another model."""
        metadata = parse_metadata(self._properties, source=str(self._source))
        renamed = metadata.model_copy(update={"version": f"{metadata.version}-int8"})
        model = onnx.load(str(path))
        own = {METADATA_KEY: renamed.model_dump_json(), MADE_FROM_KEY: json.dumps(dict(made_from))}
        onnx.helper.set_model_props(model, {**self._properties, **own})
        save(model, path)


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime publishes no types
    """Windows, as onnxruntime asks for them."""

    def __init__(self, windows: Iterable[Features]) -> None:
        self._windows: Iterator[Features] = iter(windows)

    def get_next(self) -> dict[str, Features] | None:
        """The next input, None at the end."""
        batch = next(self._windows, None)
        return None if batch is None else {INPUT: batch}


@contextmanager
def _without_advice() -> Iterator[None]:
    """Without onnxruntime's advice to fold norms first: the exporters of this project did."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
