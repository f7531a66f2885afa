"""What a changed model makes of recordings, held against what the model it was made from does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import AudioError
from shared.scoring.audio import mono, read_blocks
from shared.scoring.detector import Detector
from shared.scoring.frontend import Features, LogMel, peak_normalize, resample
from shared.scoring.recording import CLIP_S, FileScore, score_recording

SUFFIXES = frozenset({".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".opus", ".ts", ".wav"})


@dataclass(frozen=True)
class Change:
    """One recording: how far window scores moved, and its confidence before and after."""

    file: str
    windows: int
    largest: float
    mean: float
    confidence: float
    confidence_now: float
    flipped: bool

    def to_json(self) -> dict[str, Any]:
        """As the report has it."""
        return {
            "file": self.file,
            "windows": self.windows,
            "largest_change": round(self.largest, 6),
            "mean_change": round(self.mean, 6),
            "confidence": round(self.confidence, 6),
            "confidence_now": round(self.confidence_now, 6),
            "flipped": self.flipped,
        }


@dataclass(frozen=True)
class Changes:
    """All recordings."""

    each: tuple[Change, ...]

    @property
    def largest(self) -> float:
        """How far the score of any window moved."""
        return max(change.largest for change in self.each)

    @property
    def mean(self) -> float:
        """How far windows' scores moved on average."""
        return sum(change.mean * change.windows for change in self.each) / sum(change.windows for change in self.each)

    @property
    def flips(self) -> int:
        """How many recordings are decided otherwise."""
        return sum(change.flipped for change in self.each)

    def to_json(self) -> dict[str, Any]:
        """As the report has it."""
        return {
            "largest_change": round(self.largest, 6),
            "mean_change": round(self.mean, 6),
            "flips": self.flips,
            "recordings": [change.to_json() for change in self.each],
        }


def recordings_in(paths: Sequence[Path]) -> list[Path]:
    """The recordings named, and those in the folders named, at any depth. Raises AudioError when there are none."""
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise AudioError(f"there is no {', no '.join(missing)}: check the paths")
    found = [
        one
        for path in paths
        for one in (
            sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
        )
    ]
    if not found:
        raise AudioError(f"no recordings ({', '.join(sorted(SUFFIXES))}) in {', '.join(map(str, paths))}")
    return list(dict.fromkeys(found))


def windows_of(paths: Sequence[Path], log_mel: LogMel, *, most: int) -> Iterator[Features]:
    """Windows of the recordings as the model takes them in, (1, mels, frames) each, some `most` in all.

    Each recording gives as many at most as its share, spread over its length. Raises AudioError.
    """
    share = -(-most // len(paths))
    for path in paths:
        windows = np.concatenate(list(_minutes(path, log_mel)))
        for index in np.unique(np.linspace(0, len(windows) - 1, min(share, len(windows))).round().astype(int)):
            yield windows[index : index + 1]


def scores_of(
    paths: Sequence[Path], detector: Detector, done: Callable[[], None] = lambda: None
) -> tuple[FileScore, ...]:
    """What the model makes of each recording; `done` is called after each. Raises AudioError."""
    log_mel = LogMel(detector.metadata.front_end)
    scored = []
    for path in paths:
        scored.append(score_recording(path, detector, log_mel))
        done()
    return tuple(scored)


def changes_between(before: Sequence[FileScore], after: Sequence[FileScore]) -> Changes:
    """How the scores `after` differ from those `before`, of the same recordings in the same order."""
    each = []
    for old, new in zip(before, after, strict=True):
        moved = np.abs(np.array([w.score for w in new.windows]) - np.array([w.score for w in old.windows]))
        each.append(
            Change(
                file=old.file,
                windows=moved.size,
                largest=float(moved.max()),
                mean=float(moved.mean()),
                confidence=old.confidence,
                confidence_now=new.confidence,
                flipped=old.detected != new.detected,
            )
        )
    return Changes(tuple(each))


def _minutes(path: Path, log_mel: LogMel) -> Iterator[Features]:
    """A recording's windows, minute by minute as it is scored."""
    params = log_mel.params
    enough = False
    for block in read_blocks(path, block_s=CLIP_S, overlap_s=0.0):
        samples = resample(mono(block.waveform)[0], block.waveform.sample_rate_hz, params.sample_rate_hz)
        if len(samples) >= log_mel.min_samples:
            enough = True
            samples = peak_normalize(samples) if params.peak_normalize else samples
            yield log_mel.model_input(log_mel.mel_db(samples))
    if not enough:
        raise AudioError(f"{path} is too short to calibrate with: less than {params.n_fft} samples")
