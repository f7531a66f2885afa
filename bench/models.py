"""The models that are measured: ours, and networks of the incumbent's geometry with random weights.

How long a network takes depends on its layers, not on what its weights say; OrcaHello's own cannot be bundled here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from bench.figures import VARIANTS
from model.int8 import Quantizer
from model.orcahello.graph import build
from model.orcahello.metadata import PolicyName, metadata_of
from model.orcahello.weights import Weights, expected_shapes
from model.windows import windows_of
from shared.scoring.frontend import Features, LogMel
from shared.scoring.model_file import METADATA_KEY, ModelMetadata

BUNDLED = Path(__file__).parent.parent / "model" / "haro-orca.onnx"
CALIBRATION_WINDOWS = 4


@dataclass(frozen=True)
class Variant:
    """A model to be measured: its name in the figures, and its file."""

    name: str
    path: Path


def make_variants(folder: Path, clip_folder: Path, *, only: Collection[str] = VARIANTS) -> tuple[Variant, ...]:
    """The models of these names: ours, and the incumbent's network in float and in eight bits, with either policy.

    Writes what it makes into `folder`: 102 MB in float, 26 MB in eight bits, each. Eight bits as `model.quantize` makes
    them at first try: every layer, weights of seven bits, ranges from a few windows of the clip.
    """
    paths = {"bundled": BUNDLED}
    if any(name != "bundled" for name in only):
        weights = random_weights()
        metadata = {policy: _metadata(weights, policy) for policy in PolicyName}
        for policy in PolicyName:
            paths[f"fp32-{policy}"] = folder / f"fp32-{policy}.onnx"
            onnx.save(build(weights, metadata[policy]), str(paths[f"fp32-{policy}"]))
        if any(name.startswith("int8") for name in only):
            float32 = paths[f"fp32-{PolicyName.MEAN_TOP_K}"]
            log_mel = LogMel(metadata[PolicyName.MEAN_TOP_K].front_end)
            segments = sorted(clip_folder.glob("*.ts"))[:1]
            windows = list(windows_of(segments, log_mel, most=CALIBRATION_WINDOWS))
            paths |= _eight_bits(float32, windows, metadata, folder)
    return tuple(Variant(name, paths[name]) for name in VARIANTS if name in only)


def _eight_bits(
    float32: Path, windows: Sequence[Features], metadata: Mapping[PolicyName, ModelMetadata], folder: Path
) -> dict[str, Path]:
    """One network for both policies: ranges are of layers, and those know of no policy."""
    paths = {}
    with tempfile.TemporaryDirectory() as scratch:
        quantized = Path(scratch) / "int8.onnx"
        Quantizer(float32, windows, Path(scratch)).write(quantized, {})
        model = onnx.load(str(quantized))
    for policy, told in metadata.items():
        onnx.helper.set_model_props(model, {METADATA_KEY: told.model_dump_json()})
        paths[f"int8-{policy}"] = folder / f"int8-{policy}.onnx"
        onnx.save(model, str(paths[f"int8-{policy}"]))
    return paths


def random_weights() -> Weights:
    """Weights that keep signals at one size from layer to layer (He, 2015), with low scores: nothing is heard."""
    rng = np.random.default_rng(0)
    weights = {}
    for name, shape in expected_shapes().items():
        if len(shape) > 1:
            values = rng.normal(0.0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        elif name.endswith(("running_mean", "bias")):
            values = np.zeros(shape)
        else:  # each block adds to what it is given: half as much keeps the sum from growing
            values = np.full(shape, 0.5 if name.endswith("bn3.weight") else 1.0)
        weights[name] = values.astype(np.float32)
    weights["fc.7.weight"] *= np.float32(0.01)
    weights["fc.7.bias"] = np.array([20.0, -20.0], np.float32)
    return weights


def _metadata(weights: Weights, policy: PolicyName) -> ModelMetadata:
    told = {"name": "orcahello-geometry", "training_data": "none: random weights", "licence": "none"}
    return metadata_of(weights, policy).model_copy(update=told)
