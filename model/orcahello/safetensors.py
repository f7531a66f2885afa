"""Reading a safetensors file: eight bytes that say how long the header is, the header in JSON, then raw numbers.

Source: the format's description in the README of huggingface/safetensors. Nothing is believed before it is checked:
every length, type and range, and that the ranges cover the file without gap or overlap, so that no byte has two names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.orcahello.weights import Shape
from shared.errors import ModelError

MAX_BYTES = 512 * 2**20
"""Five times OrcaHello's weights."""

_MAX_HEADER_BYTES = 2**20
_MAX_DIMENSIONS = 8
_TYPES = MappingProxyType({"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"})


@dataclass(frozen=True)
class RawTensor:
    """Numbers as they lie in the file; `kind` is the format's name of their type."""

    kind: str
    shape: Shape
    raw: memoryview

    def numbers(self) -> NDArray[Any]:
        """The values, in the file's own type; bfloat16 as float32, of which it is the upper half."""
        values = np.frombuffer(self.raw, _TYPES[self.kind]).reshape(self.shape)
        return (values.astype("<u4") << 16).view("<f4") if self.kind == "BF16" else values


def read_safetensors(path: Path) -> dict[str, RawTensor]:
    """Every tensor of the file at `path`. Raises ModelError saying what is wrong with the file."""
    data = read_bounded(path)
    try:
        return _tensors(memoryview(data))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: this is no safetensors file that can be used: {error}. Fetch it again.") from error


def read_bounded(path: Path) -> bytes:
    """The file's bytes. Raises ModelError when it cannot be read, or is larger than any file of these weights."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelError(
                f"{path}: {size} bytes are more than the {MAX_BYTES} that weights of this network may have"
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}). Check the path.") from error


def _tensors(data: memoryview) -> dict[str, RawTensor]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER_BYTES):
        raise ValueError(f"its header of {length} bytes does not fit ({len(data)} bytes in all)")
    header = json.loads(bytes(data[8 : 8 + length]), object_pairs_hook=_without_repeats)
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")  # noqa: TRY004 - the file is wrong
    header.pop("__metadata__", None)
    body = data[8 + length :]
    spans = {name: _span(name, entry) for name, entry in header.items()}
    reached = 0
    for name, (begin, end) in sorted(spans.items(), key=lambda item: item[1]):
        if begin != reached:
            raise ValueError(f"{name} begins at byte {begin}, and what comes before it ends at {reached}")
        reached = end
    if reached != len(body):
        raise ValueError(f"its tensors end at byte {reached} of {len(body)}")
    return {
        name: RawTensor(header[name]["dtype"], tuple(header[name]["shape"]), body[begin:end])
        for name, (begin, end) in spans.items()
    }


def _span(name: str, entry: Any) -> tuple[int, int]:
    """From which byte to which the tensor lies. Raises ValueError when that does not fit its type and shape."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name} is not described by dtype, shape and data_offsets")
    kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"{name} is of type {kind!r}, not one of {sorted(_TYPES)}")
    if not _sizes(shape) or len(shape) > _MAX_DIMENSIONS or not _sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"{name} has shape {shape} and data_offsets {offsets}")
    begin, end = offsets
    needed = prod(shape) * np.dtype(_TYPES[kind]).itemsize
    if end - begin != needed:
        raise ValueError(f"{name} takes {end - begin} bytes, and {kind} of shape {shape} takes {needed}")
    return begin, end


def _sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**48 for value in values)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in its header twice")
    return found
