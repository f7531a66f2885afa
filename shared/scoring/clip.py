"""The one way from sound to scores, for a minute of a live stream and for a minute of a recording alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from shared.scoring.audio import Run, Samples, mono
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel, peak_normalize
from shared.scoring.resampling import resample

# A run that starts this much after a grid point still counts from it; times are sums of floats.
_GRID_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ClipScores:
    """Every window of a clip, in order of time.

    `spans_s` says from when to when each window is, in seconds from the clip's start. `scores` is (n,), `embeddings`
    (n, d). `dead_channels` were left out of the mix in one run at least. `unheard` are the runs, by position, that hold
    too little sound for any window. `timings_s` says how long `prepare`, `features` and `inference` took.
    """

    spans_s: tuple[tuple[float, float], ...]
    scores: NDArray[np.float32] = field(repr=False)
    embeddings: NDArray[np.float32] = field(repr=False)
    dead_channels: tuple[int, ...]
    unheard: tuple[int, ...]
    timings_s: Mapping[str, float]


@dataclass(frozen=True)
class _Stretch:
    """Mono sound at the model's rate, and where its first window starts."""

    start_s: float
    samples: Samples


def score_clip(runs: Sequence[Run], log_mel: LogMel, detector: Detector) -> ClipScores:
    """Score the runs of one clip.

    Windows start at whole multiples of the hop from the clip's start. None spans two runs, so none touches a gap. A run
    that holds no whole window on that grid has one window from its own start, a short one where it must be. Each run is
    resampled once, as a whole, and peak normalisation (where the model asks for it) is by the loudest sample of all
    runs. Raises AudioError for samples that are no numbers.
    """
    began = perf_counter()
    params = log_mel.params
    mixes = [mono(run.waveform) for run in runs]
    sounds = [
        resample(mix, run.waveform.sample_rate_hz, params.sample_rate_hz)
        for (mix, _), run in zip(mixes, runs, strict=True)
    ]
    if params.peak_normalize:
        peak = max((float(np.max(np.abs(sound), initial=0.0)) for sound in sounds), default=0.0)
        sounds = [peak_normalize(sound, peak=peak) for sound in sounds]
    stretches = [_stretch(run.start_s, sound, log_mel) for run, sound in zip(runs, sounds, strict=True)]
    heard = [stretch for stretch in stretches if stretch is not None]
    prepared = perf_counter()
    none = np.empty((0, params.n_mels, params.input_frames), np.float32)
    windows = [log_mel.model_input(log_mel.mel_db(stretch.samples)) for stretch in heard]
    model_input = np.concatenate([none, *windows])
    ready = perf_counter()
    answer = detector.score(model_input)
    done = perf_counter()
    return ClipScores(
        spans_s=tuple(span_s for stretch in heard for span_s in _spans_s(stretch, log_mel)),
        scores=answer.scores,
        embeddings=answer.embeddings,
        dead_channels=tuple(sorted({channel for _, dead in mixes for channel in dead})),
        unheard=tuple(position for position, stretch in enumerate(stretches) if stretch is None),
        timings_s={"prepare": prepared - began, "features": ready - prepared, "inference": done - ready},
    )


def _stretch(run_start_s: float, sound: Samples, log_mel: LogMel) -> _Stretch | None:
    """A run's sound from its first grid point on, where that holds a whole window; else one window from its start."""
    rate, hop_s = log_mel.params.sample_rate_hz, log_mel.params.hop_s
    window = round(log_mel.params.window_s * rate)
    start_s = ceil(run_start_s / hop_s - _GRID_TOLERANCE) * hop_s
    skipped = max(0, round((start_s - run_start_s) * rate))
    if len(sound) - skipped >= window:
        return _Stretch(start_s, sound[skipped:])
    return _Stretch(run_start_s, sound[:window]) if len(sound) >= log_mel.min_samples else None


def _spans_s(stretch: _Stretch, log_mel: LogMel) -> list[tuple[float, float]]:
    length_s = min(log_mel.params.window_s, len(stretch.samples) / log_mel.params.sample_rate_hz)
    starts_s = (stretch.start_s + offset_s for offset_s in log_mel.window_starts_s(len(stretch.samples)))
    return [(start_s, start_s + length_s) for start_s in starts_s]
