"""Sound to log-mel windows, exactly as OrcaHello's front end makes them.

The order is: mean of the channels, resample the whole clip once, peak-normalise the whole clip (where the model asks
for it), cut windows, then per window: power STFT (periodic Hann, centred, reflected edges), mel filters, dB, floor at
the window's own maximum less `top_db`, fill up to the model's width.

Precision, measured against torchaudio's features of two recordings: at most 0.0006 dB anywhere, whichever precision the
STFT and the filters use. What needs float64 is the resampler: in float32 its rounding reaches 0.013 dB in quiet rows
beside a loud tone, in float64 0.002 dB. Samples between the steps are float32.
"""

from __future__ import annotations

from math import gcd

import librosa
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.sparse import csr_array

from shared.errors import AudioError, ModelError
from shared.scoring.audio import Samples
from shared.scoring.model_file import FrontEnd

Features = NDArray[np.float32]

ORCAHELLO_2S = FrontEnd(
    sample_rate_hz=20_000,
    window_s=2.0,
    hop_s=1.0,
    peak_normalize=False,
    n_fft=2560,
    hop_length=256,
    n_mels=256,
    mel_scale="htk",
    f_min_hz=0.0,
    f_max_hz=10_000.0,
    filterbank_sample_rate_hz=16_000,
    amin=1e-10,
    top_db=100.0,
    input_frames=312,
    pad="zero",
)
"""OrcaHello's first model (FastAI ResNet50, 2020): 2-s windows every second.

Source: orcasound/aifororcas-livesystem, `src/model/fastai_inference.py`; its network takes in 4 s (312 frames).
"""

ORCAHELLO_3S = ORCAHELLO_2S.model_copy(update={"window_s": 3.0, "hop_s": 2.0, "peak_normalize": True})
"""The same weights as in production since March 2026: 3-s windows every 2 s of a peak-normalised clip.

Source: orcasound/orcahello, `InferenceSystem/model/config.yaml`.
"""


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Change the sample rate, along the last axis, as OrcaHello's model was trained to hear it.

    Source: `scipy.signal.resample_poly` with the rates over their greatest common divisor and its own filter (Kaiser,
    beta 5.0). Another resampler moves the mel rows near 10 kHz by tens of dB. A sound of n samples becomes one of
    ceil(n * to_hz / from_hz).
    """
    if from_hz == to_hz or samples.shape[-1] == 0:
        return samples
    from scipy.signal import resample_poly  # noqa: PLC0415 - a second to import, for those who score alone

    divisor = gcd(from_hz, to_hz)
    resampled = resample_poly(samples.astype(np.float64), to_hz // divisor, from_hz // divisor, axis=-1)
    return resampled.astype(np.float32)


def peak_normalize(samples: Samples, *, peak: float | None = None) -> Samples:
    """Divide by `peak`, by default the loudest sample's size, so that full scale is reached; silence stays as it is."""
    if peak is None:
        peak = float(np.max(np.abs(samples), initial=0.0))
    return (samples / np.float32(peak)).astype(np.float32) if 0 < peak < np.inf else samples


class LogMel:
    """A front end made ready: the mel filters are laid out once, then any number of clips pass through.

    Safe to share between threads. Raises ModelError when window or hop are no whole number of samples.
    """

    def __init__(self, params: FrontEnd) -> None:
        self.params = params
        self._window = _whole_samples("window_s", params.window_s, params.sample_rate_hz)
        self._hop = _whole_samples("hop_s", params.hop_s, params.sample_rate_hz)
        self._filters = csr_array(_mel_filters(params))
        self._hann = _periodic_hann(params.n_fft)

    @property
    def min_samples(self) -> int:
        """The shortest sound that can be scored: reflecting its edges by half an FFT takes one sample more."""
        return self.params.n_fft // 2 + 1

    def window_starts_s(self, n_samples: int) -> list[float]:
        """Where windows start in `n_samples` of sound at the model's rate: whole windows only, on the grid of the hop.

        A sound shorter than one window is one short window at 0.0; one shorter than `min_samples` has none.
        """
        if n_samples < self.min_samples:
            return []
        count = max(1, 1 + (n_samples - self._window) // self._hop)
        return [k * self.params.hop_s for k in range(count)]

    def mel_db(self, samples: Samples) -> Features:
        """The log-mel windows of mono `samples` (n,) at the model's rate: (windows, mels, frames) in dB, not padded.

        A window of n samples has 1 + n // hop_length frames: 157 for OrcaHello's 2 s. Raises AudioError when the sound
        is shorter than `min_samples` or holds values that are no numbers.
        """
        if samples.ndim != 1:
            raise ValueError(f"mel_db takes mono samples (n,), not {samples.shape}")
        if not np.isfinite(samples).all():
            raise AudioError("the sound holds samples that are infinite or no number; decode or export it again")
        starts = [k * self._hop for k in range(len(self.window_starts_s(len(samples))))]
        if not starts:
            rate = self.params.sample_rate_hz
            raise AudioError(
                f"the sound is too short to score: {len(samples) / rate:.3f} s, "
                f"and at least {self.min_samples / rate:.3f} s are needed"
            )
        return np.stack([self._window_db(samples[start : start + self._window]) for start in starts])

    def model_input(self, mel_db: Features) -> Features:
        """Bring windows (windows, mels, frames) to the model's width: (windows, mels, input_frames).

        Too few frames are filled up after the sound as `pad` says, too many are cut off after `input_frames`.
        """
        frames = mel_db.shape[-1]
        missing = self.params.input_frames - frames
        if missing <= 0:
            return mel_db[..., : self.params.input_frames]
        fill = mel_db.mean(axis=-1, keepdims=True) if self.params.pad == "row_mean" else np.float32(0.0)
        padded = np.empty((*mel_db.shape[:-1], self.params.input_frames), dtype=np.float32)
        padded[..., :frames] = mel_db
        padded[..., frames:] = fill
        return padded

    def _window_db(self, window: Samples) -> Features:
        """One window's (mels, frames): 10 log10 of mel power, floored at `amin` and at its maximum less `top_db`."""
        params = self.params
        edge = params.n_fft // 2
        reflected = np.pad(window, edge, mode="reflect")
        frames = sliding_window_view(reflected, params.n_fft)[:: params.hop_length] * self._hann
        # Not librosa.stft: its first use on a machine compiles for 17 s, and every new instance in Azure is a machine.
        stft = rfft(frames, axis=-1)
        power = self._filters @ (stft.real**2 + stft.imag**2).T
        decibel: Features = np.asarray(10.0 * np.log10(np.maximum(power, params.amin)), dtype=np.float32)
        return decibel if params.top_db is None else np.maximum(decibel, decibel.max() - np.float32(params.top_db))


def _periodic_hann(length: int) -> Samples:
    """0.5 - 0.5 cos(2 pi n / length): the window as torchaudio and librosa have it by default (`sym=False`)."""
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length), dtype=np.float32)


def _whole_samples(name: str, seconds: float, sample_rate_hz: int) -> int:
    samples = round(seconds * sample_rate_hz)
    if samples < 1 or abs(samples - seconds * sample_rate_hz) > 1e-6 * samples:
        raise ModelError(f"front end: {name} {seconds} is no whole number of samples at {sample_rate_hz} Hz")
    return samples


def _mel_filters(params: FrontEnd) -> Features:
    """Triangular filters of height 1 (mels, n_fft // 2 + 1), laid out for the filterbank's own sample rate.

    As librosa.filters.mel with norm=None lays them, which would compile for those 17 s to do no normalising at all.
    OrcaHello's filters above its 8 kHz filterbank are empty; its weights were trained with those rows.
    """
    bins_hz = librosa.fft_frequencies(sr=params.filterbank_sample_rate_hz, n_fft=params.n_fft)
    corners_hz = librosa.mel_frequencies(
        params.n_mels + 2, fmin=params.f_min_hz, fmax=params.f_max_hz, htk=params.mel_scale == "htk"
    )
    low, centre, high = corners_hz[:-2, None], corners_hz[1:-1, None], corners_hz[2:, None]
    rising, falling = (bins_hz - low) / (centre - low), (high - bins_hz) / (high - centre)
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)), dtype=np.float32)
