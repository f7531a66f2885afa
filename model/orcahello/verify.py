"""Does an exported model answer as the original did? It is held against what was published with the weights.

Source: orcasound/orcahello, `InferenceSystem/tests`: inputs and scores of three windows of a clip with a calf's calls
(Sunset Bay, 2025-09-18), and the scores of all of the clip's 2-s windows, all by the original fastai model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.orcahello.torchfile import read_torch
from shared.errors import ModelError
from shared.scoring.decision import smoothed_count
from shared.scoring.detector import Detector
from shared.scoring.frontend import ORCAHELLO_2S, LogMel
from shared.scoring.recording import score_recording

WINDOW_SCORES = {"segment_0": 0.130183, "segment_1": 0.598582, "segment_2": 0.786565}
"""As published, to six places: known even where the file that has them is not at hand."""

TOLERANCE = 1e-3
"""The publishers' own, for the same input."""

AGREEMENT = 0.94
"""The share of a recording's windows that must lie on the original's side of 0.5.

The original rounded the sound to 16 bits twice and resampled each window by itself. The publishers' own port, which
resamples once, agreed in 55 of this clip's 58 windows (94.8 %).
"""

_INPUTS = ("*_mel.npz", "*_audio_reference.npz", "*_audio_reference.pt")
_WINDOWS = ("*_segment_predictions.json", "*_segment_preds_reference.json")
_RECORDING = ("*_file_predictions.json", "*_file_preds_reference.json")
_INPUT_NAME = "mel_standardized"
_BAR = 0.5


class Verdict(StrEnum):
    """How a check came out."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    what: str
    expected: str
    found: str
    verdict: Verdict


def verify(detector: Detector, folder: Path, recording: Path | None) -> Iterator[Check]:
    """Every check, in turn: the three windows, then the recording.

    Raises ModelError when a reference file cannot be read, or holds something else than it should; AudioError when the
    recording cannot be read.
    """
    expected = WINDOW_SCORES | {
        name: float(score) for name, score in _object(_find(folder, _WINDOWS), "segment_predictions", dict).items()
    }
    inputs = _inputs(_find(folder, _INPUTS))
    for name, score in sorted(expected.items()):
        yield _window(detector, name, score, inputs.get(name))
    published = _object(_find(folder, _RECORDING), "local_confidences", list)
    yield from _recording(detector, np.array(published, np.float64), recording)


def _window(detector: Detector, name: str, expected: float, mel: NDArray[np.float32] | None) -> Check:
    what = f"{name}, from its stored input"
    if mel is None:
        return Check(what, f"{expected:.6f}", f"no {_INPUT_NAME} of it in the folder", Verdict.MISSING)
    front_end = detector.metadata.front_end
    if mel.shape != (1, front_end.n_mels, front_end.input_frames):
        raise ModelError(f"{name}: its stored input has shape {mel.shape}, which is not of OrcaHello's front end")
    found = float(detector.score(mel).scores[0])
    verdict = Verdict.RIGHT if abs(found - expected) <= TOLERANCE else Verdict.WRONG
    return Check(what, f"{expected:.6f}", f"{found:.6f}", verdict)


def _recording(detector: Detector, published: NDArray[np.float64], recording: Path | None) -> Iterator[Check]:
    what = "the recording's 2-s windows"
    if recording is None or not published.size:
        lacking = "the recording (--wav)" if recording is None else "its published scores"
        yield Check(what, f"{published.size} scores" if published.size else "", f"{lacking} not given", Verdict.MISSING)
        return
    # Two-second windows whatever the model's own: those are what was published.
    windows = score_recording(recording, detector, LogMel(ORCAHELLO_2S)).windows
    scores = np.array([window.score for window in windows])
    if scores.size != published.size:
        yield Check(what, f"{published.size} windows", f"{scores.size} windows", Verdict.WRONG)
        return
    off, agree = np.abs(scores - published), int(((scores > _BAR) == (published > _BAR)).sum())
    yield Check(
        what,
        f"{AGREEMENT:.0%} of {scores.size} on the same side of {_BAR}",
        f"{agree} of them; off by {off.mean():.4f} on average, {off.max():.4f} at most",
        Verdict.RIGHT if agree >= AGREEMENT * scores.size else Verdict.WRONG,
    )
    original, ours = smoothed_count(published).detected, smoothed_count(scores).detected
    verdict = Verdict.RIGHT if ours == original else Verdict.WRONG
    yield Check("the recording's decision", _said(detected=original), _said(detected=ours), verdict)


def _said(*, detected: bool) -> str:
    return "detected" if detected else "not detected"


def _find(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such folder of reference files")
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    return found[0] if found else None


def _object(path: Path | None, key: str, kind: type) -> Any:
    """The entry of a JSON object; an empty one where there is no file."""
    if path is None:
        return kind()
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: this is no JSON with an entry '{key}'. Fetch it again.") from error
    values = entry.values() if isinstance(entry, dict) else entry
    if not isinstance(entry, kind) or not all(isinstance(value, int | float) for value in values):
        raise ModelError(f"{path}: its '{key}' are not {kind.__name__} of scores. Fetch it again.")
    return entry


def _inputs(path: Path | None) -> dict[str, NDArray[np.float32]]:
    """Each window's stored input (1, mels, frames), by the window's name; torch's file or numpy's, as it was stored."""
    if path is None:
        return {}
    if path.suffix == ".pt":
        arrays: dict[str, Any] = {name: tensor.numbers() for name, tensor in read_torch(path).items()}
    else:
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = dict(stored)
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: this is no file of numpy arrays. Fetch it again.") from error
    suffixes = (f".{_INPUT_NAME}", f"__{_INPUT_NAME}")
    return {
        name.removesuffix(suffix): np.asarray(values, np.float32)
        for name, values in arrays.items()
        for suffix in suffixes
        if name.endswith(suffix)
    }
