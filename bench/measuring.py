"""What one process finds out about one model: times of each part, from its own start on, and its peak memory."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import rfft

from bench.clip import Clip, read_clip
from shared.errors import HaroError
from shared.hydrophones import Hydrophone
from shared.scoring.audio import AudioLimits, Run, Samples, Waveform, mono
from shared.scoring.clip import score_clip
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel, peak_normalize
from shared.scoring.keep import KeepPolicy
from shared.scoring.resampling import resample
from shared.scoring.score import ScoredClip, score_batch
from shared.scoring.segments import Part, decode_segments
from shared.storage.local.blobs import FolderBlobs

LIMITS = AudioLimits(max_bytes=50_000_000, max_duration_s=600)
FLOOR_RUNS = 7


def measure(
    model: str, clip_folder: str, started_s: float, warm_s: float, *, picture: bool, clock: Callable[[], float]
) -> dict[str, Any]:
    """Score the clip in this process, first cold, then again and again for `warm_s`, once at least.

    Args:
        model: path of the model file.
        clip_folder: where `write_clip` wrote the clip.
        started_s: what `clock` said when this process was started.
        warm_s: how long.
        picture: whether to time a detection's picture, too, on two more clips.
        clock: the one that whoever started the process has too.

    Returns:
        `first_score_s` and `first_decision_s` since the process was started, `clips` (the seconds of each part and of
        the whole stage, clip by clip), `pictures_s`, `peak_bytes`, `features_s` and `ffts_s` (run by run),
        `gflop_per_s` of a product of float32 matrices, `windows` and `duration_s` of the clip.
    """
    detector = Detector.load(Path(model))
    log_mel = LogMel(detector.metadata.front_end)
    clip = read_clip(Path(clip_folder))
    _score_first_window(clip, log_mel, detector)
    first_score_s = clock() - started_s
    with tempfile.TemporaryDirectory() as scratch:
        stage = _Stage(clip, detector, Path(scratch))
        stage.timings_s()
        first_decision_s = clock() - started_s
        clips: list[dict[str, float]] = []
        end_s = clock() + warm_s
        while not clips or clock() < end_s:
            clips.append(stage.timings_s())
        peak_bytes = _peak_bytes()
        drawn = [stage.score(clip.hears_everything) for _ in range(2 if picture else 0)]
    features_s, ffts_s = _floor(_sound(clip, log_mel), log_mel)
    return {
        "first_score_s": first_score_s,
        "first_decision_s": first_decision_s,
        "clips": clips,
        "pictures_s": [scored.result.timings_s["picture"] for scored in drawn[1:]],  # the first loads what draws
        "peak_bytes": peak_bytes,
        "features_s": features_s,
        "ffts_s": ffts_s,
        "gflop_per_s": _gflop_per_s(),
        "windows": stage.windows,
        "duration_s": clip.duration_s,
    }


class _Stage:
    """The scoring stage on one clip, with everything it writes: audio and result, to a folder."""

    def __init__(self, clip: Clip, detector: Detector, scratch: Path) -> None:
        self.windows = 0
        self._clip, self._detector, self._scratch, self._count = clip, detector, scratch, 0

    def score(self, hydrophones: Mapping[str, Hydrophone]) -> ScoredClip:
        """Score the clip as if for the first time."""
        self._count += 1
        return score_batch(
            self._clip.batch,
            http=self._clip,
            blobs=FolderBlobs(self._scratch / str(self._count), min_free_bytes=0),
            detector=self._detector,
            keep=KeepPolicy(),
            limits=LIMITS,
            hydrophones=hydrophones,
            now=lambda: self._clip.batch.end_utc,
            last_try=True,
        )

    def timings_s(self) -> dict[str, float]:
        """Each step's seconds as the result has them, and `stage`, the whole. Raises HaroError for a detection."""
        began = perf_counter()
        scored = self.score({})
        taken_s = perf_counter() - began
        if scored.result.detected:
            raise HaroError("the model hears a call in the bench's clip: its picture would be in every figure")
        self.windows = len(scored.result.windows)
        return {**scored.result.timings_s, "stage": taken_s}


def _score_first_window(clip: Clip, log_mel: LogMel, detector: Detector) -> None:
    run = decode_segments(_parts(clip)[:1], LIMITS).runs[0]
    rate = run.waveform.sample_rate_hz
    window = run.waveform.samples[:, : round(log_mel.params.window_s * rate)]
    score_clip([Run(Waveform(window, rate), 0.0)], log_mel, detector)


def _sound(clip: Clip, log_mel: LogMel) -> Samples:
    """The clip as the front end takes it."""
    run = decode_segments(_parts(clip), LIMITS).runs[0]
    mix, _ = mono(run.waveform)
    sound = resample(mix, run.waveform.sample_rate_hz, log_mel.params.sample_rate_hz)
    return peak_normalize(sound) if log_mel.params.peak_normalize else sound


def _parts(clip: Clip) -> list[Part]:
    start_utc = clip.batch.start_utc
    return [
        Part(one.index, clip.data[one.url], (one.start_utc - start_utc).total_seconds(), one.duration_s)
        for one in clip.batch.segments
    ]


def _floor(sound: Samples, log_mel: LogMel) -> tuple[list[float], list[float]]:
    """Seconds for all features of the sound, and for the bare FFTs of the same frames; in turns."""
    params = log_mel.params
    window, hop = (round(seconds * params.sample_rate_hz) for seconds in (params.window_s, params.hop_s))
    edge = params.n_fft // 2
    features_s, ffts_s = [], []
    for _ in range(FLOOR_RUNS):
        began = perf_counter()
        log_mel.model_input(log_mel.mel_db(sound))
        features_s.append(perf_counter() - began)
        taken_s = 0.0
        for samples in sliding_window_view(sound, window)[::hop]:
            padded = np.pad(samples, edge, mode="reflect")
            frames = np.ascontiguousarray(sliding_window_view(padded, params.n_fft)[:: params.hop_length])
            began = perf_counter()
            rfft(frames, axis=-1)
            taken_s += perf_counter() - began
        ffts_s.append(taken_s)
    return features_s, ffts_s


def _gflop_per_s() -> list[float]:
    """What the processor can do at all, by numpy's product of two matrices of 1024 x 1024."""
    matrix = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
    rates = []
    for _ in range(FLOOR_RUNS):
        began = perf_counter()
        np.matmul(matrix, matrix)
        rates.append(2 * len(matrix) ** 3 / (perf_counter() - began) / 1e9)
    return rates


def _peak_bytes() -> int:
    """The most memory this process has had. Linux counts what its parent had in `ru_maxrss`, but not in VmHWM."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
