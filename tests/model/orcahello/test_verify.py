"""The check itself: it says right, wrong and missing where they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile
from typer.testing import CliRunner

from model.orcahello.__main__ import app
from model.orcahello.verify import WINDOW_SCORES, Verdict, verify
from shared.demo.sea import orca_call
from shared.errors import ModelError
from shared.scoring.detector import Detector
from shared.scoring.frontend import ORCAHELLO_2S, ORCAHELLO_3S, LogMel
from shared.scoring.recording import score_recording
from tests.model.orcahello.conftest import torch_bytes
from tests.scoring.tiny_model import write_tiny_model

RATE_HZ = 20_000
LEVEL_DB = -23.0
"""Between the mean levels of windows with the call and of those without."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of OrcaHello's shapes whose score is the logistic function of a window's mean level above LEVEL_DB."""
    return write_tiny_model(tmp_path / "model.onnx", front_end=ORCAHELLO_3S, level_db=LEVEL_DB)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Eight seconds, with a call in the middle."""
    rng = np.random.default_rng(3)
    sound = rng.normal(0, 1e-4, 8 * RATE_HZ)
    call = orca_call(RATE_HZ, rng)
    sound[3 * RATE_HZ : 3 * RATE_HZ + call.size] += 0.3 * call[: 5 * RATE_HZ]
    path = tmp_path / "clip.wav"
    wavfile.write(path, RATE_HZ, (sound * 20_000).astype(np.int16))
    return path


@pytest.fixture
def reference(tmp_path: Path, model: Path, recording: Path) -> Path:
    """A folder as it is published, with what this model answers."""
    folder = tmp_path / "reference"
    folder.mkdir()
    log_mel, detector = LogMel(ORCAHELLO_2S), Detector.load(model)
    inputs: dict[str, Any] = {}
    for index, (name, score) in enumerate(WINDOW_SCORES.items()):
        level = LEVEL_DB + np.log(score / (1 - score))
        inputs[f"{name}__mel_standardized"] = np.full((1, 256, 312), level, np.float32)
        inputs[f"{name}__mel_raw"] = np.full((1, 256, 157), index, np.float32)
    np.savez(folder / "clip_mel.npz", **inputs)
    windows = score_recording(recording, detector, log_mel).windows
    dump(folder / "clip_segment_predictions.json", {"segment_predictions": WINDOW_SCORES})
    dump(folder / "clip_file_predictions.json", {"local_confidences": [window.score for window in windows]})
    return folder


def dump(path: Path, value: Any) -> None:
    """A JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")


def verdicts(model: Path, reference: Path, recording: Path | None) -> list[Verdict]:
    """How each check came out."""
    return [check.verdict for check in verify(Detector.load(model), reference, recording)]


def test_the_right_model_is_right(model: Path, reference: Path, recording: Path) -> None:
    """All published scores are met: three windows, the recording, and its decision."""
    assert verdicts(model, reference, recording) == [Verdict.RIGHT] * 5


def test_another_model_is_wrong(tmp_path: Path, reference: Path, recording: Path) -> None:
    """A model that answers otherwise fails the windows, and the recording where it decides otherwise."""
    slightly = write_tiny_model(tmp_path / "s.onnx", front_end=ORCAHELLO_3S, level_db=LEVEL_DB + 0.02)
    grossly = write_tiny_model(tmp_path / "g.onnx", front_end=ORCAHELLO_3S, level_db=-80.0)

    assert verdicts(slightly, reference, recording)[:3] == [Verdict.WRONG] * 3
    assert verdicts(grossly, reference, recording) == [Verdict.WRONG] * 5


def test_a_recording_of_another_length_is_wrong(model: Path, reference: Path) -> None:
    """Scores are not compared window by window with those of another recording."""
    dump(reference / "clip_file_predictions.json", {"local_confidences": [0.5] * 58})
    recording = reference.parent / "clip.wav"

    assert verdicts(model, reference, recording)[3:] == [Verdict.WRONG]


def test_what_is_not_there_is_missing(model: Path, reference: Path, recording: Path) -> None:
    """Files that are not in the folder are neither right nor wrong; the windows' scores are known without theirs."""
    assert verdicts(model, reference, None) == [Verdict.RIGHT] * 3 + [Verdict.MISSING]
    (reference / "clip_segment_predictions.json").unlink()
    (reference / "clip_file_predictions.json").unlink()
    assert verdicts(model, reference, recording) == [Verdict.RIGHT] * 3 + [Verdict.MISSING]
    (reference / "clip_mel.npz").unlink()
    assert verdicts(model, reference, recording) == [Verdict.MISSING] * 4


def test_inputs_in_torchs_file_are_read(model: Path, reference: Path) -> None:
    """The inputs as they were published, in a file of torch.save, do as well."""
    torch = pytest.importorskip("torch", reason="torch is installed for training only (requirements-train.txt)")
    stored = reference / "clip_mel.npz"
    with np.load(stored) as arrays:
        nested = {
            name: {"mel_standardized": torch.from_numpy(arrays[f"{name}__mel_standardized"])} for name in WINDOW_SCORES
        }
    stored.unlink()
    (reference / "clip_audio_reference.pt").write_bytes(torch_bytes(nested, legacy=False))

    assert verdicts(model, reference, None)[:3] == [Verdict.RIGHT] * 3


def broken_json(folder: Path) -> None:
    """No JSON."""
    (folder / "clip_segment_predictions.json").write_text("{", encoding="utf-8")


def other_json(folder: Path) -> None:
    """JSON of something else."""
    dump(folder / "clip_file_predictions.json", {"local_confidences": ["high"]})


def broken_inputs(folder: Path) -> None:
    """No arrays."""
    (folder / "clip_mel.npz").write_bytes(b"PK no")


def other_inputs(folder: Path) -> None:
    """Arrays of another shape."""
    np.savez(folder / "clip_mel.npz", segment_0__mel_standardized=np.zeros((1, 80, 101), np.float32))


@pytest.mark.parametrize("spoil", [broken_json, other_json, broken_inputs, other_inputs])
def test_broken_reference_files_are_told(model: Path, reference: Path, spoil: Callable[[Path], None]) -> None:
    """A reference that cannot be read is an error, not a verdict."""
    spoil(reference)

    with pytest.raises(ModelError):
        verdicts(model, reference, None)


@pytest.mark.parametrize(("level_db", "code", "told"), [(LEVEL_DB, 3, "missing"), (LEVEL_DB - 5, 1, "wrong")])
def test_the_command_tells_by_its_end(tmp_path: Path, reference: Path, level_db: float, code: int, told: str) -> None:
    """The table names each verdict, and the exit code the worst of them."""
    model = write_tiny_model(tmp_path / "m.onnx", front_end=ORCAHELLO_3S, level_db=level_db)

    result = CliRunner().invoke(app, ["verify", "--model", str(model), "--reference", str(reference)])

    assert result.exit_code == code
    assert told in result.output
    assert "0.130183" in result.output


def test_the_command_ends_well(model: Path, reference: Path, recording: Path) -> None:
    """With everything there and right, the exit code is 0."""
    arguments = ["verify", "--model", str(model), "--reference", str(reference), "--wav", str(recording)]

    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 0, result.output
    assert result.output.count("right") == 5
