"""Recordings scored for evaluation, as Haro scores them when it listens: same front end, windows and policy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.augment import placed
from model.calibration import TOP
from model.dataset import SAMPLE_RATE_HZ, Clip, Samples, Sounds
from model.examples import FRONT_END, faded
from model.metrics import auroc, average_precision, interval, recall_at, share_detected
from shared.scoring.decision import mean_top_k
from shared.scoring.frontend import LogMel

Features = NDArray[np.float32]
WindowScores = Callable[[Features], NDArray[np.float32]]

METRICS = MappingProxyType(
    {
        "auroc": auroc,
        "auprc": average_precision,
        "recall_at_fpr_01": recall_at(0.01),
        "recall_at_fpr_05": recall_at(0.05),
        "recall_at_fpr_10": recall_at(0.10),
    }
)

NOISE_LABELS = frozenset({"vessel", "ambient"})
SNRS_DB = (-10.0, -5.0, 0.0, 5.0, 10.0, 20.0)
SNR_UNIT_S = 4.0
BATCH = 256
"""How many windows are scored at once."""
PIECE_S = 10.0
"""Long recordings without calls are judged in pieces of this length: else one of five minutes would count as one."""


@dataclass(frozen=True)
class Unit:
    """What is judged as a whole: a clip, or a piece of a long recording without calls."""

    clip: Clip
    samples: Samples
    snr_db: float | None = None
    """The ratio at which a call was set into noise; none for a sound as it was recorded."""

    @property
    def group(self) -> str:
        """The recording it is of."""
        return self.clip.group


def units_of(clips: Iterable[Clip], sounds: Sounds) -> list[Unit]:
    """The clips, the long ones without calls in pieces of `PIECE_S`; pieces of digital silence are left out."""
    units = []
    for clip in clips:
        samples = sounds[clip]
        size = samples.size if clip.is_call else round(PIECE_S * SAMPLE_RATE_HZ)
        starts = range(0, max(samples.size - size, 0) + 1, size)
        pieces = [samples[start : start + size] for start in starts]
        units += [Unit(clip, piece) for piece in pieces if float(np.max(np.abs(piece), initial=0.0)) > 0]
    return units


def snr_units_of(clips: Sequence[Clip], sounds: Sounds) -> list[Unit]:
    """The first marked stretch of each call at `SNRS_DB`, each set into a stretch of these clips' own ships or sea.

    The ratio is of the stretch, with whatever noise its recording has, to the noise it is set into: an upper bound.
    There are none where no ship or sea is long enough.
    """
    length = round(SNR_UNIT_S * SAMPLE_RATE_HZ)
    noises = [clip for clip in clips if clip.label in NOISE_LABELS and sounds[clip].size >= length]
    units = []
    for number, clip in enumerate(clip for clip in clips if clip.is_call and noises):
        rng = np.random.default_rng([0, number])
        start_s, end_s = clip.spans[0]
        call = faded(sounds.cut(clip, start_s, min(end_s, start_s + 2.5)))
        noise = sounds[noises[int(rng.integers(len(noises)))]]
        start = int(rng.integers(noise.size - length + 1))
        at = int(rng.integers(length - call.size + 1))
        for snr_db in SNRS_DB:
            mixed = placed(call, noise[start : start + length], snr_db, at, sample_rate_hz=SAMPLE_RATE_HZ)
            units.append(Unit(clip, mixed, snr_db))
    return units


def features_of(units: Iterable[Unit]) -> list[Features]:
    """Each unit's windows (n, mels, frames), as the model takes them in."""
    log_mel = LogMel(FRONT_END)
    return [log_mel.model_input(log_mel.mel_db(unit.samples)) for unit in units]


def confidences(features: Sequence[Features], window_scores: WindowScores) -> NDArray[np.float64]:
    """(units,): the confidence of each by `mean_top_k`, of scores that are probabilities."""
    sizes = np.cumsum([len(windows) for windows in features])[:-1]
    scores = np.concatenate([window_scores(windows) for windows in _batches(np.concatenate(features))])
    return np.array([mean_top_k(part, TOP).confidence for part in np.split(scores, sizes)])


def metrics_of(scores: NDArray[np.float64], units: Sequence[Unit]) -> dict[str, Any]:
    """Every metric with its interval, and how much it rests on."""
    is_call = np.array([unit.clip.is_call for unit in units])
    groups = [unit.group for unit in units]
    count = {
        "calls": int(is_call.sum()),
        "call_groups": len({unit.group for unit in units if unit.clip.is_call}),
        "others": int((~is_call).sum()),
        "other_groups": len({unit.group for unit in units if not unit.clip.is_call}),
    }
    return count | {name: interval(metric, scores, is_call, groups).to_json() for name, metric in METRICS.items()}


def detected_share(scores: NDArray[np.float64], units: Sequence[Unit], threshold: float) -> dict[str, Any]:
    """How many of the units score at least `threshold`, with the interval, and how many they are."""
    is_call = np.array([unit.clip.is_call for unit in units])
    groups = [unit.group for unit in units]
    share = interval(share_detected(threshold), scores, is_call, groups)
    return {"clips": len(units), "groups": len(set(groups))} | share.to_json()


def _batches(windows: Features) -> Iterable[Features]:
    return (windows[start : start + BATCH] for start in range(0, len(windows), BATCH))
