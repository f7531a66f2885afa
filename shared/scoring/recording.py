"""Scoring a recording of any length, minute by minute, as the live stream is scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor, log10
from pathlib import Path
from typing import Any

from shared.documents import HealthState, StreamHealth, WindowScore
from shared.errors import AudioError
from shared.scoring.audio import Block, Run, read_blocks
from shared.scoring.clip import score_clip
from shared.scoring.decision import decide, decision_spans_s
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from shared.scoring.health import assess

CLIP_S = 60.0
"""The clip a decision is made for, as on the live stream: six segments of 10 s."""


@dataclass(frozen=True)
class FileScore:
    """What was found in one recording; times are seconds from its start.

    `confidence` is that of the surest minute. `windows` hold every score, on one grid over all of the recording;
    `positives` are the stretches the policy found positive, detected minute or not, with the values it judged by.
    """

    file: str
    duration_s: float
    detected: bool
    confidence: float
    policy: str
    model_version: str
    health: StreamHealth
    windows: tuple[WindowScore, ...]
    positives: tuple[WindowScore, ...]

    def to_json(self) -> dict[str, Any]:
        """The line that `haro score --json` prints."""
        return {
            "file": self.file,
            "duration_s": self.duration_s,
            "detected": self.detected,
            "confidence": self.confidence,
            "policy": self.policy,
            "model_version": self.model_version,
            "health": self.health.to_json(),
            "windows": [window.to_json() for window in self.windows],
        }


@dataclass(frozen=True)
class _Minute:
    """One clip of the recording, scored."""

    duration_s: float
    detected: bool
    confidence: float
    health: StreamHealth
    windows: tuple[WindowScore, ...]
    positives: tuple[WindowScore, ...]


def score_recording(
    path: Path,
    detector: Detector,
    log_mel: LogMel,
    *,
    threshold: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> FileScore:
    """Score the recording at `path` in memory for one minute of sound, however long it is.

    The policy and peak normalisation work minute by minute, as they do live; the recording is detected when any minute
    is. A recording shorter than a window is scored as one short window.

    Args:
        path: a file of any format PyAV reads.
        detector: the model, whose policy decides.
        log_mel: the model's front end, `LogMel(detector.metadata.front_end)`.
        threshold: in place of the policy's own.
        progress: told how many seconds have been scored, after each minute.

    Raises:
        AudioError: the recording cannot be read, or is too short to score; the message names it.
    """
    minutes: list[_Minute] = []
    duration_s = 0.0
    hop_s = log_mel.params.hop_s
    block_s = max(1, floor(CLIP_S / hop_s)) * hop_s
    overlap_s = max(0.0, log_mel.params.window_s - hop_s)
    blocks = read_blocks(path, block_s=block_s, overlap_s=overlap_s)
    for index, block in enumerate(blocks):
        duration_s = index * block_s + block.waveform.duration_s
        if index == 0 or block.waveform.duration_s >= log_mel.params.window_s:
            minutes.append(_score_block(block, index * block_s, detector, log_mel, threshold))
        if progress is not None:
            progress(duration_s if block.is_last else (index + 1) * block_s)
    windows = tuple(window for minute in minutes for window in minute.windows)
    if not windows:
        needed_s = log_mel.min_samples / log_mel.params.sample_rate_hz
        raise AudioError(f"{path} is too short to score: {duration_s:.3f} s, and at least {needed_s:.3f} s are needed")
    return FileScore(
        file=str(path),
        duration_s=duration_s,
        detected=any(minute.detected for minute in minutes),
        confidence=max(minute.confidence for minute in minutes),
        policy=detector.metadata.decision.policy,
        model_version=detector.metadata.model_version,
        health=_overall([(minute.duration_s, minute.health) for minute in minutes]),
        windows=windows,
        positives=tuple(positive for minute in minutes for positive in minute.positives),
    )


def _score_block(block: Block, start_s: float, detector: Detector, log_mel: LogMel, threshold: float | None) -> _Minute:
    """Score a block as the clip it is, then say its times from the recording's start."""
    policy, hop_s = detector.metadata.decision, log_mel.params.hop_s
    clip = score_clip([Run(block.waveform, start_s=0.0)], log_mel, detector)
    decision = decide(policy, clip.scores, threshold=threshold)
    spans_s = decision_spans_s(policy, clip.spans_s, hop_s=hop_s)
    end_s = start_s + block.waveform.duration_s
    return _Minute(
        duration_s=block.waveform.duration_s,
        detected=decision.detected,
        confidence=decision.confidence,
        health=assess(block.waveform),
        windows=tuple(
            WindowScore(start_s=start_s + first_s, end_s=start_s + last_s, score=float(score))
            for (first_s, last_s), score in zip(clip.spans_s, clip.scores, strict=True)
        ),
        positives=tuple(
            WindowScore(
                start_s=start_s + spans_s[i][0], end_s=min(start_s + spans_s[i][1], end_s), score=decision.values[i]
            )
            for i in decision.positive_windows
            if start_s + spans_s[i][0] < end_s
        ),
    )


def _overall(parts: Sequence[tuple[float, StreamHealth]]) -> StreamHealth:
    """A recording's health from its minutes': the state it was in longest, means over time, what is dead throughout."""
    total_s = sum(duration_s for duration_s, _ in parts)
    if total_s == 0:
        return StreamHealth(state="no_audio")
    lengths_s: dict[HealthState, float] = {}
    power = hum = 0.0
    for duration_s, health in parts:
        lengths_s[health.state] = lengths_s.get(health.state, 0.0) + duration_s
        power += 0.0 if health.level_dbfs is None else duration_s * 10 ** (health.level_dbfs / 10)
        hum += duration_s * (health.hum_ratio or 0.0)
    return StreamHealth(
        state=max(lengths_s, key=lambda state: lengths_s[state]),
        level_dbfs=round(10 * log10(power / total_s), 2) if power > 0 else None,
        hum_ratio=round(hum / total_s, 4),
        channels=parts[0][1].channels,
        dead_channels=tuple(sorted(set.intersection(*(set(health.dead_channels) for _, health in parts)))),
    )
