"""Recordings of any length: one grid of windows, minute by minute decisions, bounded memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from shared.errors import AudioError
from shared.scoring import recording
from shared.scoring.audio import Run, Waveform
from shared.scoring.clip import score_clip
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from shared.scoring.recording import FileScore, score_recording
from tests.scoring.tiny_model import TINY_FRONT_END, write_tiny_model

RATE_HZ = TINY_FRONT_END.sample_rate_hz
TINY = LogMel(TINY_FRONT_END)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """The tiny model: loud windows score high, the bar lying between the noise and the calls made here."""
    return Detector.load(write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", level_db=0.5))


def sea(duration_s: float, *calls_s: float, call_length_s: float = 3.0) -> np.ndarray:
    """Faint noise, with loud noise from each of `calls_s` on."""
    sound = 0.01 * np.random.default_rng(0).standard_normal(round(duration_s * RATE_HZ))
    for call_s in calls_s:
        sound[round(call_s * RATE_HZ) : round((call_s + call_length_s) * RATE_HZ)] *= 5
    return sound.astype(np.float32)


def score(
    folder: Path, sound: np.ndarray, detector: Detector, *, threshold: float | None = None, log_mel: LogMel = TINY
) -> FileScore:
    """Write the sound as a WAV and score that."""
    path = folder / "sound.wav"
    wavfile.write(path, RATE_HZ, sound)
    return score_recording(path, detector, log_mel, threshold=threshold)


def test_a_call_is_found_where_it_is(tmp_path: Path, detector: Detector) -> None:
    """A call in the third minute makes the recording detected, and only windows that hear it are positive."""
    result = score(tmp_path, sea(200.0, 150.0), detector)

    assert result.detected
    assert result.confidence > 0.9
    assert {round(window.start_s, 3) for window in result.positives} >= {150.0, 150.5, 151.0, 151.5, 152.0}
    assert all(window.start_s > 149.0 and window.end_s < 154.0 for window in result.positives)
    assert result.duration_s == 200.0
    assert (result.policy, result.model_version) == ("mean_top_k", "tiny/1")
    assert result.health.state == "online"


def test_a_quiet_sea_is_not_detected(tmp_path: Path, detector: Detector) -> None:
    """Noise alone gives no detection and no positive window."""
    result = score(tmp_path, sea(90.0), detector)

    assert not result.detected
    assert result.confidence < 0.1
    assert result.positives == ()


@pytest.mark.parametrize("duration_s", [1.0, 59.9, 60.0, 60.5, 60.51, 61.0, 120.0, 181.3])
def test_windows_lie_on_one_grid(tmp_path: Path, detector: Detector, duration_s: float) -> None:
    """Blocks leave no trace: every whole window from the start to the end, each once, however long the recording."""
    result = score(tmp_path, sea(duration_s), detector)

    count = int((duration_s - 1.0) / 0.5 + 1e-9) + 1
    assert [window.start_s for window in result.windows] == pytest.approx([k * 0.5 for k in range(count)])
    assert all(window.end_s == pytest.approx(window.start_s + 1.0) for window in result.windows)


def test_each_minute_is_scored_as_a_clip_of_its_own(tmp_path: Path, detector: Detector) -> None:
    """With peak normalisation, a loud minute does not make the next one fainter: each equals the live clip."""
    sound = sea(121.0, 10.0)
    by_peak = LogMel(TINY_FRONT_END.model_copy(update={"peak_normalize": True}))

    result = score(tmp_path, sound, detector, log_mel=by_peak)

    second = sound[60 * RATE_HZ : 121 * RATE_HZ]
    alone = score_clip([Run(Waveform(second[None, : 60 * RATE_HZ + RATE_HZ // 2], RATE_HZ), 0.0)], by_peak, detector)
    heard = [window.score for window in result.windows if 60.0 <= window.start_s < 120.0]
    assert heard == pytest.approx([float(value) for value in alone.scores[:120]], abs=1e-5)


def test_a_recording_shorter_than_a_window_is_one_short_window(tmp_path: Path, detector: Detector) -> None:
    """A 0.4-s snippet has a score, over the time it lasts."""
    result = score(tmp_path, sea(0.4, 0.0), detector)

    assert [window.start_s for window in result.windows] == [0.0]
    assert result.windows[0].end_s == pytest.approx(0.4)
    assert result.detected
    assert all(positive.end_s <= 0.4 for positive in result.positives)


def test_too_short_a_recording_is_an_error(tmp_path: Path, detector: Detector) -> None:
    """A few milliseconds cannot be scored: the message says so, with the file's name."""
    with pytest.raises(AudioError, match=r"sound\.wav is too short to score: 0\.010 s"):
        score(tmp_path, sea(0.01), detector)


def test_the_threshold_can_be_set(tmp_path: Path, detector: Detector) -> None:
    """A stricter threshold takes the detection away and leaves the scores."""
    sound = sea(30.0, 10.0)
    strict, plain = score(tmp_path, sound, detector, threshold=1.0), score(tmp_path, sound, detector)

    assert (strict.detected, plain.detected) == (False, True)
    assert strict.windows == plain.windows


def test_progress_is_told(tmp_path: Path, detector: Detector) -> None:
    """After each minute the caller learns how far the work is, and the last word is the whole length."""
    path = tmp_path / "sound.wav"
    wavfile.write(path, RATE_HZ, sea(150.0))
    told: list[float] = []

    score_recording(path, detector, TINY, progress=told.append)

    assert told == pytest.approx([60.0, 120.0, 150.0])


def test_memory_is_that_of_a_minute(tmp_path: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    """No clip handed on to be scored is longer than a minute and the overlap, though the recording is."""
    lengths_s: list[float] = []

    def watched(runs: list[Run], *others: object) -> object:
        lengths_s.extend(run.waveform.duration_s for run in runs)
        return score_clip(runs, *others)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(recording, "score_clip", watched)

    score(tmp_path, sea(300.0), detector)

    assert len(lengths_s) == 5
    assert max(lengths_s) <= 60.5


def test_the_json_line_has_the_promised_fields(tmp_path: Path, detector: Detector) -> None:
    """What `haro score --json` prints: exactly these keys, and values that JSON can hold."""
    line = json.loads(json.dumps(score(tmp_path, sea(5.0), detector).to_json(), allow_nan=False))

    assert list(line) == [
        "file", "duration_s", "detected", "confidence", "policy", "model_version", "health", "windows",
    ]  # fmt: skip
    assert set(line["windows"][0]) == {"start_s", "end_s", "score"}
    assert line["health"]["state"] == "online"


def test_health_is_that_of_most_of_the_recording(tmp_path: Path, detector: Detector) -> None:
    """Three silent minutes after one of sea: silent, at the mean power of all four."""
    sound = np.concatenate([sea(60.0), np.zeros(180 * RATE_HZ, np.float32)])

    health = score(tmp_path, sound, detector).health

    assert health.state == "silent"
    assert health.level_dbfs == pytest.approx(20 * np.log10(0.01 / 2), abs=0.1)
