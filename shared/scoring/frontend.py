"""Sound to log-mel windows, exactly as OrcaHello's front end makes them.

The order is: mean of the channels, resample the whole clip once, peak-normalise the whole clip (where the model asks
for it), cut windows, then per window: power STFT (periodic Hann, centred, reflected edges), mel filters, dB, floor at
the window's own maximum less `top_db`, fill up to the model's width.

Precision, measured against torchaudio's features of two recordings: at most 0.0006 dB anywhere, whichever precision the
STFT and the filters use; so all of it is float32. What needs float64 is the resampler: in float32 its rounding reaches
0.013 dB in quiet rows beside a loud tone, in float64 0.002 dB.
"""

from __future__ import annotations

import librosa
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft

from shared.errors import AudioError, ModelError
from shared.scoring.audio import Samples
from shared.scoring.model_file import FrontEnd

Features = NDArray[np.float32]

# How many values of windows' frames are worked on at a time, and how many mel rows make one product of matrices.
_VALUES_AT_ONCE, _ROWS_IN_BAND = 600_000, 8

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
        self._bands = _bands(_mel_filters(params))
        self._hann = periodic_hann(params.n_fft)

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
        return [k * self.params.hop_s for k in range(self.shape(n_samples)[0])]

    def shape(self, n_samples: int) -> tuple[int, int, int]:
        """How many windows, mels and frames `mel_db` makes of so many samples, at least `min_samples` of them."""
        frames = 1 + (min(self._window, n_samples) - self.params.n_fft % 2) // self.params.hop_length
        return max(1, 1 + (n_samples - self._window) // self._hop), self.params.n_mels, frames

    def mel_db(self, samples: Samples) -> Features:
        """The log-mel windows of mono `samples` (n,) at the model's rate: (windows, mels, frames) in dB, not padded.

        A window of n samples has 1 + n // hop_length frames: 157 for OrcaHello's 2 s. Raises AudioError when the sound
        is shorter than `min_samples` or holds values that are no numbers.
        """
        if samples.ndim != 1:
            raise ValueError(f"mel_db takes mono samples (n,), not {samples.shape}")
        if not np.isfinite([samples.min(initial=0.0), samples.max(initial=0.0)]).all():  # NaN is lowest and highest
            raise AudioError("the sound holds samples that are infinite or no number; decode or export it again")
        if len(samples) < self.min_samples:
            rate = self.params.sample_rate_hz
            raise AudioError(
                f"the sound is too short to score: {len(samples) / rate:.3f} s, "
                f"and at least {self.min_samples / rate:.3f} s are needed"
            )
        windows = sliding_window_view(samples, min(self._window, len(samples)))[:: self._hop]
        spectra = _Spectra(windows.shape[1], self.params, self._hann)
        mel_db = np.empty((len(windows), self.params.n_mels, spectra.frames), np.float32)
        for start in range(0, len(windows), spectra.at_once):
            part = slice(start, start + spectra.at_once)
            power, decibel = spectra.power(windows[part]), mel_db[part]
            for rows, bins, filters in self._bands:
                np.matmul(filters, power[:, bins], out=decibel[:, rows])
            self._to_db(decibel)
        return mel_db

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

    def _to_db(self, power: Features) -> None:
        """In place, 10 log10 of windows' mel power, floored at `amin` and at each window's maximum less `top_db`."""
        np.log(np.maximum(power, np.float32(self.params.amin), out=power), out=power)
        power /= np.float32(np.log(10) / 10)  # numpy has a log10 too, four times as slow
        if self.params.top_db is not None:
            np.maximum(power, power.max(axis=(1, 2), keepdims=True) - np.float32(self.params.top_db), out=power)


class _Spectra:
    """The STFT of a few windows at a time, in memory that is taken once: new pages cost as much as the sums."""

    def __init__(self, window: int, params: FrontEnd, hann: Samples) -> None:
        self._hann, self._edge = hann, params.n_fft // 2
        frames = sliding_window_view(np.empty(window + 2 * self._edge), params.n_fft)[:: params.hop_length].shape
        self.at_once, self.frames = max(1, _VALUES_AT_ONCE // (frames[0] * frames[1])), frames[0]
        self._reflected = np.empty((self.at_once, window + 2 * self._edge), np.float32)
        self._cut = sliding_window_view(self._reflected, params.n_fft, axis=1)[:, :: params.hop_length]
        self._weighted = np.empty(self._cut.shape, np.float32)
        self._power = np.empty((self.at_once, self.frames, self._edge + 1), np.float32)

    def power(self, windows: Samples) -> Features:
        """Power (windows, bins, frames) of windows (windows, n): centred on each hop, with reflected edges.

        Valid until the next call.
        """
        count, edge = len(windows), self._edge
        self._reflected[:count, edge:-edge] = windows
        self._reflected[:count, :edge] = windows[:, edge:0:-1]
        self._reflected[:count, -edge:] = windows[:, -2 : -edge - 2 : -1]
        weighted = np.multiply(self._cut[:count], self._hann, out=self._weighted[:count])
        # Not librosa.stft: its first use on a machine compiles for 17 s, and every new instance in Azure is a machine.
        parts = rfft(weighted, axis=-1).view(np.float32)
        np.square(parts, out=parts)
        return np.swapaxes(np.add(parts[..., 0::2], parts[..., 1::2], out=self._power[:count]), 1, 2)


def periodic_hann(length: int) -> Samples:
    """0.5 - 0.5 cos(2 pi n / length): the window as torchaudio and librosa have it by default (`sym=False`)."""
    return np.asarray(0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(length) / length), dtype=np.float32)


def _whole_samples(name: str, seconds: float, sample_rate_hz: int) -> int:
    samples = round(seconds * sample_rate_hz)
    if samples < 1 or abs(samples - seconds * sample_rate_hz) > 1e-6 * samples:
        raise ModelError(f"front end: {name} {seconds} is no whole number of samples at {sample_rate_hz} Hz")
    return samples


def _bands(filters: Features) -> list[tuple[slice, slice, Features]]:
    """Neighbouring rows of filters with the FFT bins that any of them hears: small full matrices, with few zeros."""
    bands = []
    for start in range(0, len(filters), _ROWS_IN_BAND):
        rows = filters[start : start + _ROWS_IN_BAND]
        heard = np.flatnonzero(rows.any(axis=0))
        bins = slice(int(heard[0]), int(heard[-1]) + 1) if heard.size else slice(0, 1)
        bands.append((slice(start, start + len(rows)), bins, np.ascontiguousarray(rows[:, bins])))
    return bands


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
