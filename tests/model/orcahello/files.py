"""Files of weights, made here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.orcahello.weights import expected_shapes

_KINDS = {"float32": "F32", "float64": "F64", "float16": "F16", "int64": "I64", "int32": "I32"}


def safetensors(arrays: Mapping[str, NDArray[Any]], **header: Any) -> bytes:
    """The arrays as the format has them; `header` overrides or adds entries."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, array in arrays.items():
        entries[name] = {
            "dtype": _KINDS[str(array.dtype)],
            "shape": list(array.shape),
            "data_offsets": [at, at + array.nbytes],
        }
        at += array.nbytes
    return raw_safetensors(json.dumps(entries | header), b"".join(array.tobytes() for array in arrays.values()))


def raw_safetensors(header: str, body: bytes = b"") -> bytes:
    """A header as it stands, and what comes after it."""
    text = header.encode()
    return len(text).to_bytes(8, "little") + text + body


def plain_weights() -> dict[str, NDArray[Any]]:
    """Weights of the right names and shapes, as the hub has them, that make a network say little."""
    rng = np.random.default_rng(0)
    weights: dict[str, NDArray[Any]] = {}
    for name, shape in expected_shapes().items():
        values = np.ones(shape) if len(shape) == 1 else rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        weights[f"model.{name}"] = values.astype(np.float32)
        if name.endswith("running_var"):
            weights[f"model.{name.removesuffix('running_var')}num_batches_tracked"] = np.array(7, np.int64)
    return weights


def write(path: Path, content: bytes) -> Path:
    """The file, written."""
    path.write_bytes(content)
    return path
