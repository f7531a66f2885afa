"""How the sound of a clip itself is: is there a sea to hear, or silence, or only the hum of the mains?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft

from shared.documents import HealthState, StreamHealth
from shared.scoring.audio import Waveform, mono
from shared.scoring.frontend import periodic_hann

# Where orcas call. Below it lie the strongest mains lines, above it the noise that converters shape upwards.
_CALL_BAND_HZ = (500.0, 10_000.0)

# Sound in the call band, mains lines aside, below which there is only the electronics to hear. The reference segments
# with nothing in the water path (live1791, 1815, 1816) have -75 to -78 dBFS there, the quietest sea among them
# (live6079) -57: the middle is taken. Orcasound's monitor (orcanode-monitor) asks much the same, -80 and -95 dB for
# the mean of single spectral lines outside the hum.
_FLOOR_DBFS = -65.0

# Mains lines in the call band this many times stronger than everything else there drown a call even in a loud sea.
_HUM_DROWNS = 10.0

# Below the floor, the share of the whole power that makes it a hum rather than a silence.
_HUM_SHARE = 0.5

_MAINS_HZ = (50.0, 60.0)
_LINE_HALF_WIDTH_HZ = 2.0  # main lobe of the Hann window over one second
_LEAST_POWER = 1e-16  # -160 dBFS, for digital silence

_Spectrum = NDArray[np.floating]


@dataclass(frozen=True)
class _Power:
    """Mean square of a clip: all of it, its mains lines, and what lies in the call band with the lines in it apart."""

    total: float
    hum: float
    call_sound: float
    call_hum: float


def assess(*waveforms: Waveform) -> StreamHealth:
    """Say whether a clip can be listened to.

    `online`: there is sound beside the mains. `silent`: nothing but electronics. `unintelligible`: only mains hum with
    its harmonics, or so much of it where orcas call that nothing else can be heard. `no_audio`: no samples.

    Lines at multiples of 50 or of 60 Hz count as hum by what they stand above the median of the spectrum around them,
    so that broadband sound at those frequencies does not.

    Args:
        waveforms: the runs of one clip; none, or empty ones, make `no_audio`.
    """
    sound = [waveform for waveform in waveforms if waveform.samples.shape[1]]
    if not sound:
        return StreamHealth(state="no_audio")
    mixes = [mono(waveform) for waveform in sound]
    lengths = np.array([waveform.duration_s for waveform in sound])
    powers = [_power(mix, waveform.sample_rate_hz) for (mix, _), waveform in zip(mixes, sound, strict=True)]
    total, hum, call_sound, call_hum = np.average(
        [(power.total, power.hum, power.call_sound, power.call_hum) for power in powers], axis=0, weights=lengths
    )
    power = _Power(float(total), float(hum), float(call_sound), float(call_hum))
    longest = int(lengths.argmax())
    return StreamHealth(
        state=_state(power),
        level_dbfs=round(_dbfs(power.total), 2),
        hum_ratio=round(min(1.0, power.hum / max(power.total, _LEAST_POWER)), 4),
        channels=sound[longest].samples.shape[0],
        dead_channels=mixes[longest][1],
    )


def _state(power: _Power) -> HealthState:
    if power.call_hum > _HUM_DROWNS * power.call_sound:
        return "unintelligible"
    if _dbfs(power.call_sound) >= _FLOOR_DBFS:
        return "online"
    return "unintelligible" if power.hum > _HUM_SHARE * power.total else "silent"


def _power(mix: NDArray[np.float32], rate: int) -> _Power:
    segment = min(rate, mix.size)
    frequencies, spectrum = np.fft.rfftfreq(segment, 1 / rate), _spectrum(mix, segment)
    lines = max((_line_power(spectrum, frequencies, mains) for mains in _MAINS_HZ), key=lambda line: float(line.sum()))
    in_band = (frequencies >= _CALL_BAND_HZ[0]) & (frequencies < _CALL_BAND_HZ[1])
    call_hum = float(lines[in_band].sum())
    return _Power(
        total=float(mix.var(dtype=np.float64)),
        hum=float(lines.sum()),
        call_sound=float(spectrum[in_band].sum()) - call_hum,
        call_hum=call_hum,
    )


def _spectrum(mix: NDArray[np.float32], segment: int) -> _Spectrum:
    """Mean square in each FFT bin, by Welch's method: the mean over segments that overlap by half, Hann, without DC.

    As scipy.signal.welch has it, times its bin width: importing that takes most of a second.
    """
    hann = periodic_hann(segment)
    power = np.zeros(segment // 2 + 1)
    parts = sliding_window_view(mix, segment)[:: segment - segment // 2]
    for part in parts:
        spectrum = rfft((part - part.mean()) * hann)
        power += spectrum.real**2 + spectrum.imag**2
    power[1 : (segment + 1) // 2] *= 2  # negative frequencies; 0 Hz and half the rate have none
    return power / (len(parts) * segment * max(float(np.dot(hann, hann)), _LEAST_POWER))


def _line_power(spectrum: _Spectrum, frequencies: _Spectrum, mains_hz: float) -> _Spectrum:
    """The part of each spectral bin that belongs to a line at a multiple of `mains_hz`, up to the call band's top."""
    order = np.maximum(np.rint(frequencies / mains_hz), 1).astype(int)
    off_line = np.abs(frequencies - order * mains_hz) > _LINE_HALF_WIDTH_HZ
    floor = np.full_like(spectrum, np.inf)
    harmonics = min(int(order[-1]), int(_CALL_BAND_HZ[1] / mains_hz))
    edges = np.searchsorted(order, np.arange(1, harmonics + 2))
    for first, end in pairwise(edges):
        beside = spectrum[first:end][off_line[first:end]]
        if beside.size:
            ordered = np.sort(beside)  # numpy's median, several hundred times a clip, takes ten times as long
            floor[first:end] = (ordered[(beside.size - 1) // 2] + ordered[beside.size // 2]) / 2
    return np.where(off_line, 0.0, np.maximum(spectrum - floor, 0.0))


def _dbfs(power: float) -> float:
    return float(10 * np.log10(max(power, _LEAST_POWER)))
