"""Models in eight bits: what changes is measured, bounded and told."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from model.int8 import MADE_FROM_KEY
from model.windows import windows_of
from shared.errors import AudioError, ModelError
from shared.scoring.changes import changes_between, recordings_in, scores_of
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from tests.model.convolutions import quantize, write_convolutions, write_recordings
from tests.scoring.tiny_model import TINY_FRONT_END


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of recordings."""
    return write_recordings(tmp_path_factory.mktemp("recordings"))


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


def test_a_model_that_changes_too_much_is_not_written(tmp_path: Path, recordings: Path) -> None:
    """With a bound that nothing meets, the figures are told, and an earlier file stays what it was."""
    model, out, report = write_convolutions(tmp_path / "m.onnx"), tmp_path / "m8.onnx", tmp_path / "r.json"
    out.write_bytes(b"earlier")

    result = quantize(model, recordings, out, "--max-change", "0", "--report", str(report))

    assert isinstance(result.exception, ModelError)
    assert "was not written" in str(result.exception)
    assert out.read_bytes() == b"earlier"
    assert json.loads(report.read_text(encoding="utf-8"))["changes"]["largest_change"] > 0


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
