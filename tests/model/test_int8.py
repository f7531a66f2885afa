"""The file of a quantized model: whole numbers of seven bits, ranges taken once, sums that do not overflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from model.int8 import Quantizer
from model.windows import windows_of
from shared.scoring.changes import recordings_in
from shared.scoring.frontend import LogMel
from tests.model.convolutions import quantize, write_convolutions, write_recordings
from tests.scoring.tiny_model import TINY_FRONT_END


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of recordings."""
    return write_recordings(tmp_path_factory.mktemp("recordings"))


def test_weights_are_of_seven_bits_and_per_channel(tmp_path: Path, recordings: Path) -> None:
    """No quantized weight is beyond 64 either way, or 127 with the full range, and each filter has its own scale."""
    model = write_convolutions(tmp_path / "m.onnx")

    for more, most in (((), 64), (("--full-range",), 127)):
        assert quantize(model, recordings, tmp_path / "m8.onnx", *more).exit_code == 0
        constants = {one.name: numpy_helper.to_array(one) for one in onnx.load(tmp_path / "m8.onnx").graph.initializer}
        weights = constants["second.weight_quantized"]
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(int)).max() == most
        assert constants["second.weight_scale"].shape == (8,)


def test_ranges_are_taken_once(tmp_path: Path, recordings: Path) -> None:
    """Any number of models is written from one calibration, each with its own choice of layers."""
    model = write_convolutions(tmp_path / "m.onnx")
    (tmp_path / "scratch").mkdir()
    paths = recordings_in([recordings / "calibration"])
    quantizer = Quantizer(model, windows_of(paths, LogMel(TINY_FRONT_END), most=9), tmp_path / "scratch")

    quantizer.write_only(tmp_path / "one.onnx", "second")
    quantizer.write(tmp_path / "most.onnx", {"why": "test"}, keep=["second"])

    assert quantizer.layers == ("first", "second", "third", "fourth", "last")
    assert quantizer.edges == ("first", "last")
    for name, is_whole in (("one", False), ("most", True)):
        constants = {one.name for one in onnx.load(tmp_path / f"{name}.onnx").graph.initializer}
        assert ("second.weight" in constants) is is_whole
        assert ("third.weight" in constants) is not is_whole


def test_sums_of_products_do_not_overflow(tmp_path: Path, recordings: Path) -> None:
    """What the processor makes of eight-bit layers is what float arithmetic makes of the same file, without fusing.

    Weights of eight bits fail this on processors without VNNI, where sums of two products are cut at 16 bits.
    """
    out = tmp_path / "m8.onnx"
    assert quantize(write_convolutions(tmp_path / "m.onnx", alike=True), recordings, out).exit_code == 0
    paths = recordings_in([recordings / "evaluation"])
    windows = np.concatenate(list(windows_of(paths, LogMel(TINY_FRONT_END), most=999)))

    def scores(level: Any) -> Any:
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        return ort.InferenceSession(str(out), options).run(["probabilities"], {"mel": windows})[0]

    fused, plain = (scores(getattr(ort.GraphOptimizationLevel, f"ORT_{how}_ALL")) for how in ("ENABLE", "DISABLE"))
    assert np.abs(fused - plain).max() < 1e-4
