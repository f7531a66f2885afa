"""Which tensors make OrcaHello's network."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.orcahello.safetensors import read_safetensors
from model.orcahello.weights import checked, digest, expected_shapes
from shared.errors import ModelError
from tests.model.orcahello.files import plain_weights, safetensors, write


class Given:
    """A tensor at hand."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape

    def numbers(self) -> NDArray[Any]:
        """Its values."""
        return self._array


def given_tensors(changed: Mapping[str, NDArray[Any]] = MappingProxyType({})) -> dict[str, Given]:
    """Good weights, some of them replaced."""
    return {name: Given(array) for name, array in {**plain_weights(), **changed}.items()}


def test_the_network_is_as_large_as_published() -> None:
    """Weights and biases are the published 25 609 666."""
    assert sum(prod(shape) for name, shape in expected_shapes().items() if "running" not in name) == 25_609_666


def test_names_may_have_the_published_prefix_or_none() -> None:
    """The same weights are found under both, with one digest, and counters of batches are passed over."""
    published = given_tensors()
    bare = {name.removeprefix("model."): tensor for name, tensor in published.items() if "num_batches" not in name}

    assert checked(published, source="a").keys() == expected_shapes().keys()
    assert digest(checked(published, source="a")) == digest(checked(bare, source="b"))


def test_every_fault_is_told_at_once() -> None:
    """Missing, unknown and wrongly shaped tensors are all named in one message."""
    tensors = given_tensors({"model.fc.7.weight": np.zeros((7, 512), np.float32), "model.fc.9.weight": np.zeros(3)})
    del tensors["model.layer3.5.conv2.weight"]

    with pytest.raises(ModelError) as caught:
        checked(tensors, source="w.safetensors")

    assert str(caught.value) == (
        "w.safetensors: these are not OrcaHello's weights. missing: layer3.5.conv2.weight; "
        "not of this network: fc.9.weight; of the wrong shape: fc.7.weight (7, 512), not (2, 512)"
    )


def test_another_model_is_told_whole_but_not_without_end() -> None:
    """Of nothing at all every name is told that is missing; of a file of a thousand others, three hundred."""
    with pytest.raises(ModelError) as caught:
        checked({}, source="w")
    assert all(name in str(caught.value) for name in expected_shapes())

    with pytest.raises(ModelError, match="and 700 more"):
        checked({f"other.{number}": Given(np.zeros(1)) for number in range(1000)}, source="w")


@pytest.mark.parametrize(
    ("value", "told"), [(np.nan, "infinite or NaN"), (np.inf, "infinite or NaN"), (-1.0, "below 0")]
)
def test_numbers_that_cannot_be(value: float, told: str) -> None:
    """NaN, infinite values and negative variances are no weights."""
    tensors = given_tensors({"model.bn1.running_var": np.full(64, value, np.float32)})

    with pytest.raises(ModelError, match=rf"{told} in places: bn1\.running_var$"):
        checked(tensors, source="w")


def test_a_tensor_twice_is_told() -> None:
    """A name with and without the prefix leaves open which is meant."""
    tensors = given_tensors({"bn1.bias": np.ones(64, np.float32)})

    with pytest.raises(ModelError, match="twice"):
        checked(tensors, source="w")


def test_a_file_of_halves_is_read(tmp_path: Path) -> None:
    """Weights in float16 become float32, value for value."""
    halves = {name: array.astype(np.float16) for name, array in plain_weights().items() if "num_" not in name}
    path = write(tmp_path / "half.safetensors", safetensors(halves))

    weights = checked(read_safetensors(path), source=str(path))

    assert weights["fc.3.weight"].dtype == np.float32
    assert np.array_equal(weights["fc.3.weight"], halves["model.fc.3.weight"].astype(np.float32))
