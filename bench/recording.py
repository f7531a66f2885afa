"""Making the minute of sound: two channels of sea in six segments, as a node publishes them."""

from __future__ import annotations

import json
from math import ceil
from pathlib import Path

import numpy as np

from bench.clip import SEGMENT_LIST
from shared.demo.encoder import PRIMING_SAMPLES, SAMPLE_RATE_HZ, SEGMENT_S, encode_segments
from shared.demo.sea import sea_noise

SEGMENTS = 6
_LEVEL_DBFS, _CLICKS_PER_S = -38.0, 0.05
_AAC_FRAME = 1024


def write_clip(folder: Path, *, seed: int = 1, segments: int = SEGMENTS) -> None:
    """Make the segments and write them into `folder`: AAC in MPEG-TS, both channels alive, no orca in either."""
    frames = ceil(segments * SEGMENT_S * SAMPLE_RATE_HZ / _AAC_FRAME)  # a segment ends with the frame that reaches it
    length_s = (frames * _AAC_FRAME - PRIMING_SAMPLES) / SAMPLE_RATE_HZ
    channels = [
        sea_noise(length_s, SAMPLE_RATE_HZ, rng, level_dbfs=_LEVEL_DBFS, clicks_per_s=_CLICKS_PER_S)
        for rng in np.random.default_rng(seed).spawn(2)
    ]
    durations_s = {}
    for segment in encode_segments([np.stack(channels)]):
        name = f"live{segment.index:03d}.ts"
        (folder / name).write_bytes(segment.data)
        durations_s[name] = segment.duration_s
    (folder / SEGMENT_LIST).write_text(json.dumps(durations_s), encoding="utf-8")
