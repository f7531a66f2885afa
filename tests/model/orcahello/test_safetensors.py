"""Reading safetensors files, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from model.orcahello.safetensors import read_safetensors
from shared.errors import ModelError
from tests.model.orcahello.files import raw_safetensors, safetensors, write

GOOD: dict[str, NDArray[Any]] = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array(4, np.int64)}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Names, shapes and values come back, in every type; bfloat16 as the float32 it is the half of."""
    arrays = GOOD | {"half": np.array([0.5, -2], np.float16), "double": np.array([[1.25]]), "none": np.zeros((0, 3))}
    brain = {"brain": {"dtype": "BF16", "shape": [2], "data_offsets": [44, 48]}}
    content = safetensors(arrays, **brain) + bytes.fromhex("803f20c1")

    found = read_safetensors(write(tmp_path / "w.safetensors", content))

    assert {name: tensor.shape for name, tensor in found.items()} == {
        **{name: array.shape for name, array in arrays.items()},
        "brain": (2,),
    }
    assert all(np.array_equal(found[name].numbers(), array) for name, array in arrays.items())
    assert found["brain"].numbers().tolist() == [1.0, -10.0]


def entry(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    """One tensor's description."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "does not fit"),
        (b"\x10\0\0", "does not fit"),
        ((2**63).to_bytes(8, "little") + b"{}", "does not fit"),
        (raw_safetensors("[]"), "no JSON object"),
        (raw_safetensors("{"), "Expecting"),
        (raw_safetensors("[" * 100_000), "recursion"),
        (raw_safetensors('{"a":1,"a":2}'), "twice"),
        (raw_safetensors(json.dumps({"a": 1})), "not described"),
        (raw_safetensors(json.dumps({"a": entry("F8")}), bytes(4)), "type 'F8'"),
        (raw_safetensors(json.dumps({"a": entry(shape=[2])}), bytes(4)), "takes 4 bytes"),
        (raw_safetensors(json.dumps({"a": entry(shape=[-1])}), bytes(4)), "shape"),
        (raw_safetensors(json.dumps({"a": entry(shape=[2**40] * 8)}), bytes(4)), "takes 4 bytes"),
        (raw_safetensors(json.dumps({"a": entry(shape=[1] * 9)}), bytes(4)), "shape"),
        (raw_safetensors(json.dumps({"a": entry(shape=[True])}), bytes(4)), "shape"),
        (raw_safetensors(json.dumps({"a": entry(offsets=[4, 0])}), bytes(4)), "takes -4 bytes"),
        (raw_safetensors(json.dumps({"a": entry(offsets=[4, 8])}), bytes(8)), "ends at 0"),
        (raw_safetensors(json.dumps({"a": entry(), "b": entry()}), bytes(4)), "ends at 4"),
        (raw_safetensors(json.dumps({"a": entry()}), bytes(3)), "end at byte 4 of 3"),
        (raw_safetensors(json.dumps({"a": entry()}), bytes(5)), "end at byte 4 of 5"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """Whatever is wrong with a file is said, with the file's name; nothing is read out of bounds."""
    with pytest.raises(ModelError, match=f"w.safetensors: .*{told}"):
        read_safetensors(write(tmp_path / "w.safetensors", content))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """No file is no traceback."""
    with pytest.raises(ModelError, match="nowhere: cannot be read"):
        read_safetensors(tmp_path / "nowhere")


@given(cut=st.integers(0, 300), at=st.integers(0, 200), byte=st.integers(0, 255))
def test_damage_is_an_error_or_still_tensors(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: int
) -> None:
    """A file cut short or with a byte changed is read, or refused with a ModelError; never anything else."""
    content = bytearray(safetensors(GOOD))
    content[at % len(content)] = byte
    path = write(tmp_path_factory.getbasetemp() / "damaged.safetensors", bytes(content[: max(0, len(content) - cut)]))
    try:
        for tensor in read_safetensors(path).values():
            tensor.numbers()
    except ModelError:
        pass
