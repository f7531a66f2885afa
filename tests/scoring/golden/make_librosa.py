"""Makes `librosa.npz`: the log-mel features of a second of noise as librosa's own functions give them.

They lie in a file because librosa compiles those functions for half a minute on a machine that never ran them. Kept in
ten-thousandths of a dB. To make the file again: `python -m tests.scoring.golden.make_librosa`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from shared.scoring.audio import Samples
from shared.scoring.frontend import ORCAHELLO_2S
from shared.scoring.model_file import FrontEnd
from tests.scoring.golden.make_golden import noise

LIBROSAS = Path(__file__).with_name("librosa.npz")
FRONT_ENDS = {"htk": ORCAHELLO_2S, "slaney": ORCAHELLO_2S.model_copy(update={"mel_scale": "slaney", "n_mels": 80})}


def one_second() -> Samples:
    """White noise at 20 kHz."""
    return noise(20_000).astype(np.float32)


def librosas_mel_db(sound: Samples, params: FrontEnd) -> NDArray[Any]:
    """(mels, frames): librosa's STFT, filters and decibels, in their own words."""
    edge = params.n_fft // 2
    stft = librosa.stft(
        np.pad(sound, edge, mode="reflect"), n_fft=params.n_fft, hop_length=params.hop_length, center=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # OrcaHello's empty filters
        filters = librosa.filters.mel(
            sr=params.filterbank_sample_rate_hz,
            n_fft=params.n_fft,
            n_mels=params.n_mels,
            fmin=params.f_min_hz,
            fmax=params.f_max_hz,
            htk=params.mel_scale == "htk",
            norm=None,
        )
    decibel: NDArray[Any] = librosa.power_to_db(filters @ np.abs(stft) ** 2, amin=params.amin, top_db=params.top_db)
    return decibel


def ten_thousandths(params: FrontEnd) -> NDArray[np.int32]:
    """What is kept."""
    return np.round(librosas_mel_db(one_second(), params) * 10_000).astype(np.int32)


def main() -> None:
    """Write the file."""
    np.savez_compressed(LIBROSAS, htk=ten_thousandths(FRONT_ENDS["htk"]), slaney=ten_thousandths(FRONT_ENDS["slaney"]))


if __name__ == "__main__":
    main()
