"""The incumbent's weights: which tensors there must be, and whether these are they.

The network is torchvision's ResNet-50 with one input channel, both global poolings (maximum first) and a head of two
linear layers. Source: orcasound/orcahello, `InferenceSystem/src/model/inference.py`, class OrcaHelloSRKWDetectorV1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from shared.errors import ModelError

Weights = Mapping[str, NDArray[np.float32]]
Shape = tuple[int, ...]

BLOCKS = (3, 4, 6, 3)
STEM_CHANNELS = 64
EXPANSION = 4
POOLED = 2 * STEM_CHANNELS * 2 ** (len(BLOCKS) - 1) * EXPANSION
EMBEDDING_DIM = 512
CLASSES = ("negative", "positive")
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")

# The published module keeps the network in an attribute of this name; batches counted while training say nothing.
_PREFIX = "model."
_IGNORED = "num_batches_tracked"
_NAMED_AT_MOST, _LONGEST_NAME = 300, 100


class Tensor(Protocol):
    """A tensor of a weights file: its shape is known at once, its numbers are read when they are asked for."""

    @property
    def shape(self) -> Shape:
        """Its dimensions."""

    def numbers(self) -> NDArray[Any]:
        """Its values. Raises ModelError when they are not in the file."""


def block_names() -> Iterator[tuple[str, int, int, int]]:
    """Each bottleneck block in order: its name, channels in, width (channels out are 4 times that), and stride."""
    channels_in = STEM_CHANNELS
    for layer, count in enumerate(BLOCKS):
        width = STEM_CHANNELS * 2**layer
        for block in range(count):
            yield f"layer{layer + 1}.{block}", channels_in, width, 2 if layer and not block else 1
            channels_in = width * EXPANSION


def expected_shapes() -> dict[str, Shape]:
    """Every tensor's name and shape, in the network's order: 25 609 666 parameters, and the norms' statistics."""
    shapes: dict[str, Shape] = {"conv1.weight": (STEM_CHANNELS, 1, 7, 7)} | _norm("bn1", STEM_CHANNELS)
    for name, channels_in, width, _ in block_names():
        out = width * EXPANSION
        shapes[f"{name}.conv1.weight"] = (width, channels_in, 1, 1)
        shapes |= _norm(f"{name}.bn1", width)
        shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
        shapes |= _norm(f"{name}.bn2", width)
        shapes[f"{name}.conv3.weight"] = (out, width, 1, 1)
        shapes |= _norm(f"{name}.bn3", out)
        if name.endswith(".0"):
            shapes[f"{name}.downsample.0.weight"] = (out, channels_in, 1, 1)
            shapes |= _norm(f"{name}.downsample.1", out)
    shapes |= _norm("fc.1", POOLED)
    shapes |= {"fc.3.weight": (EMBEDDING_DIM, POOLED), "fc.3.bias": (EMBEDDING_DIM,)}
    shapes |= _norm("fc.5", EMBEDDING_DIM)
    return shapes | {"fc.7.weight": (len(CLASSES), EMBEDDING_DIM), "fc.7.bias": (len(CLASSES),)}


def checked(tensors: Mapping[str, Tensor], *, source: str) -> Weights:
    """The network's weights among `tensors`, float32, under their names without the prefix `model.`.

    Raises ModelError naming every tensor that is missing, unknown, wrongly shaped, or holds what are no numbers.
    """
    named = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items() if not name.endswith(_IGNORED)}
    if len(named) != sum(not name.endswith(_IGNORED) for name in tensors):
        raise ModelError(f"{source}: some tensors are there twice, with and without '{_PREFIX}' before their names")
    expected = expected_shapes()
    problems = {
        "missing": [name for name in expected if name not in named],
        "not of this network": [name[:_LONGEST_NAME] for name in named if name not in expected],
        "of the wrong shape": [
            f"{name} {tensor.shape}, not {expected[name]}"
            for name, tensor in named.items()
            if name in expected and tensor.shape != expected[name]
        ],
    }
    weights: dict[str, NDArray[np.float32]] = {}
    if not any(problems.values()):
        weights = {name: np.array(named[name].numbers(), np.float32) for name in expected}
        problems["infinite or NaN in places"] = [name for name, w in weights.items() if not np.isfinite(w).all()]
        problems["below 0 in places"] = [name for name, w in weights.items() if "var" in name and (w < 0).any()]
    told = "; ".join(f"{what}: {_list(names)}" for what, names in problems.items() if names)
    if told:
        raise ModelError(f"{source}: these are not OrcaHello's weights. {told}")
    return weights


def _list(names: list[str]) -> str:
    """Every name, as long as they are not more than the network itself has."""
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def digest(weights: Weights) -> str:
    """SHA-256 over names and values: the same weights have the same one, whichever file they came in."""
    told = sha256()
    for name in sorted(weights):
        told.update(name.encode())
        told.update(np.ascontiguousarray(weights[name], "<f4").tobytes())
    return told.hexdigest()


def _norm(name: str, channels: int) -> dict[str, Shape]:
    return {f"{name}.{part}": (channels,) for part in BATCH_NORM}
