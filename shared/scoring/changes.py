"""What one model makes of recordings, held against what another does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import AudioError
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from shared.scoring.recording import FileScore, score_recording

SUFFIXES = frozenset({".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".opus", ".ts", ".wav"})


@dataclass(frozen=True)
class Change:
    """One recording: how far scores moved, and its confidence before and after.

    Scores are those of its windows; where the two models cut it into other windows, the whole recording's confidence.
    """

    file: str
    scores: int
    largest: float
    mean: float
    confidence: float
    confidence_now: float
    flipped: bool

    def to_json(self) -> dict[str, Any]:
        """As the report has it."""
        return {
            "file": self.file,
            "scores": self.scores,
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
        """How far any score moved."""
        return max(change.largest for change in self.each)

    @property
    def mean(self) -> float:
        """How far scores moved on average."""
        return sum(change.mean * change.scores for change in self.each) / sum(change.scores for change in self.each)

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
        moved = _moved(old, new)
        each.append(
            Change(
                file=old.file,
                scores=moved.size,
                largest=float(moved.max()),
                mean=float(moved.mean()),
                confidence=old.confidence,
                confidence_now=new.confidence,
                flipped=old.detected != new.detected,
            )
        )
    return Changes(tuple(each))


def _moved(old: FileScore, new: FileScore) -> NDArray[np.float64]:
    if [(w.start_s, w.end_s) for w in old.windows] != [(w.start_s, w.end_s) for w in new.windows]:
        return np.array([abs(new.confidence - old.confidence)])
    return np.array([abs(n.score - o.score) for n, o in zip(new.windows, old.windows, strict=True)])
