"""Windows of recordings, as a model takes them in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from shared.errors import AudioError
from shared.scoring.audio import mono, read_blocks
from shared.scoring.frontend import Features, LogMel, peak_normalize
from shared.scoring.recording import CLIP_S
from shared.scoring.resampling import resample


def windows_of(paths: Sequence[Path], log_mel: LogMel, *, most: int) -> Iterator[Features]:
    """Windows of the recordings as the model takes them in, (1, mels, frames) each, some `most` in all.

    Each recording gives as many at most as its share, spread over its length. Raises AudioError.
    """
    share = -(-most // len(paths))
    for path in paths:
        windows = np.concatenate(list(_minutes(path, log_mel)))
        for index in np.unique(np.linspace(0, len(windows) - 1, min(share, len(windows))).round().astype(int)):
            yield windows[index : index + 1]


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
