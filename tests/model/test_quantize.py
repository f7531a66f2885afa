"""Models in eight bits: what changes is measured, bounded and told."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import typer
from onnx import TensorProto, helper, numpy_helper
from scipy.io import wavfile
from typer.testing import CliRunner

from model.int8 import MADE_FROM_KEY, Quantizer
from model.quantize import Bounds, main, search
from model.windows import windows_of
from shared.demo.sea import orca_call, sea_noise
from shared.errors import AudioError, ModelError
from shared.scoring.changes import Change, Changes, changes_between, recordings_in, scores_of
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from shared.scoring.model_file import METADATA_KEY
from tests.scoring.tiny_model import TINY_FRONT_END, tiny_metadata

RATE_HZ = 8000
app = typer.Typer()
app.command()(main)


def write_convolutions(path: Path, *, outlier: float = 1.0, alike: bool = False) -> Path:
    """A model of the tiny front end with four convolutions and a linear layer of random weights.

    `outlier` multiplies one filter that the others do not need: it widens the range of what one layer puts out. With
    `alike` the weights of the second layer are all about as large as they can be.
    """
    rng = np.random.default_rng(0)
    shapes = {"first": (8, 1, 5, 5), "second": (8, 8, 3, 3), "third": (8, 8, 3, 3), "fourth": (4, 8, 3, 3)}
    nodes = [helper.make_node("Unsqueeze", ["mel", "axis"], ["x0"]), helper.make_node("Div", ["x0", "fifty"], ["x"])]
    constants: dict[str, Any] = {"axis": np.array([1], np.int64), "fifty": np.array(50, np.float32)}
    x = "x"
    for name, shape in shapes.items():
        weights: Any = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape).astype(np.float32)
        if name == "second":
            weights[0] *= outlier
            weights = np.abs(weights) * 0.01 + 0.01 if alike else weights
        elif name == "third":
            weights[:, 0] = 0.0
        constants[f"{name}.weight"] = weights
        constants[f"{name}.bias"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
        inputs = [x, f"{name}.weight", f"{name}.bias"]
        nodes.append(helper.make_node("Conv", inputs, [name], name=name, pads=[shape[2] // 2] * 4))
        nodes.append(helper.make_node("Relu", [name], [f"{name}.relu"]))
        x = f"{name}.relu"
    constants |= {"last.weight": np.array([[-8, 8, -8, 8], [8, -8, 8, -8]], np.float32)}
    constants |= {"last.bias": np.zeros(2, np.float32)}
    nodes += [
        helper.make_node("GlobalAveragePool", [x], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "last.weight", "last.bias"], ["logits"], name="last", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]

    def tensor(name: str, *sizes: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["windows", *sizes])

    graph = helper.make_graph(
        nodes,
        "convolutions",
        [tensor("mel", TINY_FRONT_END.n_mels, TINY_FRONT_END.input_frames)],
        [tensor("probabilities", 2), tensor("embedding", 4)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: tiny_metadata().model_dump_json(), "other": "kept"})
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders, each with three recordings of five seconds, one of them deeper down."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(5)
    for index in range(6):
        sound = sea_noise(5.0, RATE_HZ, rng)
        call = orca_call(RATE_HZ, rng)[: 3 * RATE_HZ]
        sound[RATE_HZ : RATE_HZ + call.size] += call * (index % 3) / 4
        path = folder / ("calibration", "evaluation")[index // 3] / ("", "", "deep")[index % 3] / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, RATE_HZ, (sound * 12_000).astype(np.int16))
    (folder / "calibration" / "notes.txt").write_text("no sound", encoding="utf-8")
    return folder


def quantize(model: Path, recordings: Path, out: Path, *more: str) -> Any:
    """The command."""
    sets = ["--calibration", str(recordings / "calibration"), "--evaluation", str(recordings / "evaluation")]
    return CliRunner().invoke(app, ["--model", str(model), *sets, "--out", str(out), *more])


def test_a_model_is_written_with_what_it_was_made_from(tmp_path: Path, recordings: Path) -> None:
    """Its layers are quantized, its front end and policy stay, its version tells, and scores hardly move."""
    model, out, report = write_convolutions(tmp_path / "m.onnx"), tmp_path / "new" / "m8.onnx", tmp_path / "r.json"

    result = quantize(model, recordings, out, "--report", str(report))

    assert result.exit_code == 0, result.output
    before, after = Detector.load(model).metadata, Detector.load(out).metadata
    assert after == before.model_copy(update={"version": "1-int8"})
    properties = ort.InferenceSession(str(out)).get_modelmeta().custom_metadata_map
    made_from = json.loads(properties[MADE_FROM_KEY])
    assert properties["other"] == "kept"
    assert (made_from["made_from"], made_from["weight_bits"]) == ("tiny/1", 7)
    assert made_from["calibration_recordings"] == 3
    figures = json.loads(report.read_text(encoding="utf-8"))
    assert figures["changes"]["flips"] == 0
    assert 0 < figures["changes"]["mean_change"] <= figures["changes"]["largest_change"] <= 0.05
    assert [Path(one["file"]).name for one in figures["changes"]["recordings"]] == ["3.wav", "4.wav", "5.wav"]
    assert "5.wav" in result.output
    kinds = [node.op_type for node in onnx.load(out).graph.node]
    assert kinds.count("Conv") == 4
    assert "QuantizeLinear" in kinds


def test_the_reported_changes_are_those_of_the_file(tmp_path: Path, recordings: Path) -> None:
    """Whoever scores the recordings with both files finds the changes that were told."""
    model, out, report = write_convolutions(tmp_path / "m.onnx"), tmp_path / "m8.onnx", tmp_path / "r.json"
    quantize(model, recordings, out, "--report", str(report))
    judged = recordings_in([recordings / "evaluation"])

    found = changes_between(scores_of(judged, Detector.load(model)), scores_of(judged, Detector.load(out)))

    assert found.to_json() == json.loads(report.read_text(encoding="utf-8"))["changes"]


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


def test_layers_that_cost_too_much_stay_as_they_were(tmp_path: Path, recordings: Path) -> None:
    """Where what lies between two layers does not fit eight bits, both are found and kept; the bound then holds."""
    model, out, report = write_convolutions(tmp_path / "m.onnx", outlier=30_000.0), tmp_path / "m8.onnx", tmp_path / "r"
    bound = ["--max-change", "0.02"]

    result = quantize(model, recordings, out, *bound, "--report", str(report))

    assert result.exit_code == 0, result.output
    figures = json.loads(report.read_text(encoding="utf-8"))
    assert figures["kept_as_they_were"] == ["first", "last", "third", "second"]
    assert figures["changes"]["largest_change"] <= 0.02
    assert json.loads(onnx_property(out, MADE_FROM_KEY))["kept_as_they_were"] == figures["kept_as_they_were"]
    everything = quantize(model, recordings, tmp_path / "all.onnx", "--max-change", "1", "--max-flips", "9")
    assert everything.exit_code == 0
    judged = recordings_in([recordings / "evaluation"])
    scores = (scores_of(judged, Detector.load(path)) for path in (model, tmp_path / "all.onnx"))
    assert changes_between(*scores).largest > 0.02


def onnx_property(path: Path, key: str) -> str:
    """One entry of a model's metadata."""
    return str({entry.key: entry.value for entry in onnx.load(path).metadata_props}[key])


def test_a_model_that_changes_too_much_is_not_written(tmp_path: Path, recordings: Path) -> None:
    """With a bound that nothing meets, the figures are told, and an earlier file stays what it was."""
    model, out, report = write_convolutions(tmp_path / "m.onnx"), tmp_path / "m8.onnx", tmp_path / "r.json"
    out.write_bytes(b"earlier")

    result = quantize(model, recordings, out, "--max-change", "0", "--report", str(report))

    assert isinstance(result.exception, ModelError)
    assert "was not written" in str(result.exception)
    assert out.read_bytes() == b"earlier"
    assert json.loads(report.read_text(encoding="utf-8"))["changes"]["largest_change"] > 0


def test_layers_named_are_kept(tmp_path: Path, recordings: Path) -> None:
    """Who knows which layer to keep says so; an unknown name is told with those there are."""
    model, out = write_convolutions(tmp_path / "m.onnx"), tmp_path / "m8.onnx"

    assert quantize(model, recordings, out, "--keep", "first", "--keep", "last").exit_code == 0
    constants = {one.name for one in onnx.load(out).graph.initializer}
    assert {"first.weight", "last.weight", "second.weight_quantized"} <= constants
    wrong = quantize(model, recordings, out, "--keep", "fifth")
    assert "no layers ['fifth']; it has first, second, third, fourth, last" in str(wrong.exception)


def test_a_quantized_model_is_not_quantized_again(tmp_path: Path, recordings: Path) -> None:
    """Nor is one that has no layer to quantize; both are told."""
    model, out = write_convolutions(tmp_path / "m.onnx"), tmp_path / "m8.onnx"
    quantize(model, recordings, out)

    assert "quantized already" in str(quantize(out, recordings, tmp_path / "m88.onnx").exception)


def test_one_recording_in_both_sets_is_told(tmp_path: Path, recordings: Path) -> None:
    """Ranges taken from what is judged flatter the result."""
    both = tmp_path / "both"
    shutil.copytree(recordings / "calibration", both / "calibration")
    (both / "evaluation").symlink_to(both / "calibration")

    result = quantize(write_convolutions(tmp_path / "m.onnx"), both, tmp_path / "m8.onnx")

    assert "3 recordings are in both sets" in " ".join(result.output.split())


def test_without_onnx_it_says_what_to_install(
    tmp_path: Path, recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has no onnx is told where it is listed."""
    model = write_convolutions(tmp_path / "m.onnx")
    monkeypatch.delitem(sys.modules, "model.int8")
    monkeypatch.setitem(sys.modules, "onnx", None)

    result = quantize(model, recordings, tmp_path / "m8.onnx")

    assert "needs onnx: pip install -r requirements-dev.txt" in str(result.exception)


def test_windows_are_spread_over_all_recordings(recordings: Path) -> None:
    """Each recording gives its share; asked for more than there are, all windows are given."""
    log_mel, paths = LogMel(TINY_FRONT_END), recordings_in([recordings / "calibration"])

    few, all_of_them = (list(windows_of(paths, log_mel, most=most)) for most in (6, 999))

    assert [window.shape for window in few] == [(1, 16, 40)] * 6
    assert len(all_of_them) == 3 * 9
    assert np.array_equal(few[0], all_of_them[0])
    assert np.array_equal(few[1], all_of_them[8])


def test_recordings_are_found_or_told(tmp_path: Path, recordings: Path) -> None:
    """Folders are searched whole, files are taken as they are and once; nothing there is an error."""
    named = recordings_in([recordings / "calibration", recordings / "calibration" / "0.wav"])

    assert [path.name for path in named] == ["0.wav", "1.wav", "2.wav"]
    with pytest.raises(AudioError, match="nowhere"):
        recordings_in([tmp_path / "nowhere"])
    with pytest.raises(AudioError, match="no recordings"):
        recordings_in([tmp_path])


def changed(largest: float, *, flipped: bool = False) -> Changes:
    """One recording's change."""
    return Changes((Change("a.wav", 2, largest, largest / 2, 0.5, 0.5, flipped),))


LAYERS = ("a", "b", "c", "d", "e", "f", "g")


def test_the_most_sensitive_layers_are_kept_until_it_is_good() -> None:
    """Those named are kept, then the edges, then 1, 2, 4 others in order of sensitivity, until the bound holds."""
    tried: list[tuple[str, ...]] = []
    ranked: list[str] = []

    def attempt(kept: Collection[str]) -> Changes:
        tried.append(tuple(kept))
        return changed(0.0 if {"b", "f"} <= set(kept) else 0.5)

    def sensitivity(layer: str) -> float:
        ranked.append(layer)
        return "edbfacg".index(layer)

    found = search(LAYERS, attempt, sensitivity, Bounds(0.1, 0), keep=("g",), edges=("a", "g"))

    assert tried == [("g",), ("g", "a"), ("g", "a", "c"), ("g", "a", "c", "f"), ("g", "a", "c", "f", "b", "d")]
    assert found.kept == tried[-1]
    assert ranked == ["b", "c", "d", "e", "f"]


def test_the_best_attempt_is_told_when_none_is_good() -> None:
    """One flip less counts for more than smaller changes, and some layer is always quantized."""
    outcomes = {0: changed(0.9), 1: changed(0.2, flipped=True), 2: changed(0.4), 4: changed(0.6)}

    found = search(LAYERS, lambda kept: outcomes[len(kept)], "abcdefg".index, Bounds(0.1, 0))

    assert len(found.kept) == 2


def test_layers_are_not_ranked_when_there_is_no_need() -> None:
    """Ranking takes long: a model that is good at once is not looked into."""

    def sensitivity(layer: str) -> float:
        raise AssertionError(layer)

    assert search(LAYERS, lambda _: changed(0.05), sensitivity, Bounds(0.1, 0)).kept == ()


@pytest.mark.parametrize(
    ("change", "holds"), [(changed(0.1), True), (changed(0.11), False), (changed(0, flipped=True), False)]
)
def test_bounds(change: Changes, *, holds: bool) -> None:
    """A score may move as far as the bound, and no further; a flip counts even where scores stand."""
    assert Bounds(0.1, 0).hold(change) == holds


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
