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
from shared.scoring.frontend import LogMel, peak_normalize, resample

# A run that starts this much after a grid point still counts from it; times are sums of floats.
_GRID_TOLERANCE = 1e-6


@dataclass(frozen=True)
class ClipScores:
    """Every window of a clip, in order of time.

    `window_starts_s` are seconds from the clip's start, `window_s` the windows' length (shorter than the model's only
    for a clip that holds no whole window). `scores` is (n,), `embeddings` (n, d). `dead_channels` were left out of
    the mix in one run at least. `timings_s` says how long `prepare`, `features` and `inference` took.
    """

    window_starts_s: tuple[float, ...]
    window_s: float
    scores: NDArray[np.float32] = field(repr=False)
    embeddings: NDArray[np.float32] = field(repr=False)
    dead_channels: tuple[int, ...]
    timings_s: Mapping[str, float]


@dataclass(frozen=True)
class _Stretch:
    """Mono sound at the model's rate, cut so that it begins on a grid point."""

    start_s: float
    samples: Samples


def score_clip(runs: Sequence[Run], log_mel: LogMel, detector: Detector) -> ClipScores:
    """Score the runs of one clip.

    Windows start at whole multiples of the hop from the clip's start. None spans two runs, so none touches a gap. A
    clip without a whole window on that grid has one window, from the start of its longest run and as long as there is
    sound; one with less sound than `LogMel.min_samples` has none. Each run is resampled once, as a whole, and peak
    normalisation (where the model asks for it) is by the loudest sample of all runs. Raises AudioError for samples
    that are no numbers.
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
    stretches = _stretches([run.start_s for run in runs], sounds, log_mel)
    prepared = perf_counter()
    none = np.empty((0, params.n_mels, params.input_frames), np.float32)
    windows = [log_mel.model_input(log_mel.mel_db(stretch.samples)) for stretch in stretches]
    model_input = np.concatenate([none, *windows])
    ready = perf_counter()
    answer = detector.score(model_input)
    done = perf_counter()
    return ClipScores(
        window_starts_s=tuple(
            stretch.start_s + offset_s
            for stretch in stretches
            for offset_s in log_mel.window_starts_s(len(stretch.samples))
        ),
        window_s=min([params.window_s, *(len(stretch.samples) / params.sample_rate_hz for stretch in stretches)]),
        scores=answer.scores,
        embeddings=answer.embeddings,
        dead_channels=tuple(sorted({channel for _, dead in mixes for channel in dead})),
        timings_s={"prepare": prepared - began, "features": ready - prepared, "inference": done - ready},
    )


def _stretches(starts_s: Sequence[float], sounds: Sequence[Samples], log_mel: LogMel) -> list[_Stretch]:
    """Each run's sound from its first grid point on, where that holds a whole window; else the one short window."""
    rate, window_s, hop_s = log_mel.params.sample_rate_hz, log_mel.params.window_s, log_mel.params.hop_s
    whole = []
    for run_start_s, sound in zip(starts_s, sounds, strict=True):
        start_s = ceil(run_start_s / hop_s - _GRID_TOLERANCE) * hop_s
        skipped = max(0, round((start_s - run_start_s) * rate))
        if len(sound) - skipped >= round(window_s * rate):
            whole.append(_Stretch(start_s, sound[skipped:]))
    if whole or not sounds:
        return whole
    longest = max(range(len(sounds)), key=lambda index: len(sounds[index]))
    short = sounds[longest][: round(window_s * rate)]
    return [_Stretch(starts_s[longest], short)] if len(short) >= log_mel.min_samples else []
