"""The audio file of a clip: FLAC (or WAV), 16 bit, silent where there was a gap, so that file time is clip time."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Sequence
from itertools import pairwise

import av
import numpy as np
from numpy.typing import NDArray

from shared.errors import AudioError
from shared.scoring.audio import Run, Samples
from shared.scoring.resampling import resample

_CHUNK_S = 1
_MAX_FLAC_CHANNELS = 8


def encode_flac(runs: Sequence[Run], duration_s: float) -> bytes:
    """Encode a clip as FLAC; see `encode_wav` for what is written.

    The bytes depend on the samples alone: no date, no encoder name of the container.

    Raises:
        AudioError: there are no runs, or more than FLAC's eight channels.
    """
    channels, rate = _common_format(runs)
    if channels > _MAX_FLAC_CHANNELS:
        raise AudioError(f"FLAC takes {_MAX_FLAC_CHANNELS} channels, not {channels}. Choose WAV in the settings.")
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")
    with av.open(file, "w", format="flac", options={"fflags": "bitexact"}) as container:
        stream = container.add_stream("flac", rate=rate, layout=layout, options={"flags": "bitexact"})
        stream.codec_context.format = "s16"
        for pcm in _pcm16(runs, duration_s, channels, rate):
            frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout=layout)
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def encode_wav(runs: Sequence[Run], duration_s: float) -> bytes:
    """Encode a clip as WAV (PCM s16le).

    Channels and sample rate are the runs' own. Where runs differ, the most channels and the highest rate are taken:
    a run with fewer channels repeats them. What lies between the runs, and after them up to `duration_s`, is digital
    silence. A run that reaches into the next one, by the few ms by which EXTINF is short, is cut there.

    Args:
        runs: the clip's sound in order of time, at least one.
        duration_s: the clip's nominal length; sound beyond it is kept.

    Raises:
        AudioError: there are no runs.
    """
    channels, rate = _common_format(runs)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        for pcm in _pcm16(runs, duration_s, channels, rate):
            writer.writeframesraw(pcm.tobytes())
    return file.getvalue()


def _common_format(runs: Sequence[Run]) -> tuple[int, int]:
    if not runs:
        raise AudioError("there is no sound to write: the clip has no runs")
    return (
        max(run.waveform.samples.shape[0] for run in runs),
        max(run.waveform.sample_rate_hz for run in runs),
    )


def _pcm16(runs: Sequence[Run], duration_s: float, channels: int, rate: int) -> Iterator[NDArray[np.int16]]:
    """The whole clip as pieces (n, channels) of about a second, little-endian int16.

    Full scale is 32768, the factor by which 16-bit sound is read, so that writing what was read changes nothing.
    """
    starts = [round(run.start_s * rate) for run in runs]
    length = max(round(duration_s * rate), starts[-1] + _length_at(runs[-1], rate))
    yield from _silence(starts[0], channels, rate)
    for run, (start, next_start) in zip(runs, pairwise([*starts, length]), strict=True):
        samples = _in_format(run, channels, rate)[:, : next_start - start]
        for at in range(0, samples.shape[1], rate * _CHUNK_S):
            piece = samples[:, at : at + rate * _CHUNK_S].T * np.float32(32_768)
            yield np.clip(np.rint(piece, out=piece), -32_768, 32_767, out=piece).astype("<i2", order="C")
        yield from _silence(next_start - start - samples.shape[1], channels, rate)


def _silence(length: int, channels: int, rate: int) -> Iterator[NDArray[np.int16]]:
    for at in range(0, length, rate * _CHUNK_S):
        yield np.zeros((min(rate * _CHUNK_S, length - at), channels), np.int16)


def _length_at(run: Run, rate: int) -> int:
    return -(-int(run.waveform.samples.shape[1]) * rate // run.waveform.sample_rate_hz)  # rounded up


def _in_format(run: Run, channels: int, rate: int) -> Samples:
    samples, own_rate = run.waveform.samples, run.waveform.sample_rate_hz
    if samples.shape[0] != channels:
        samples = samples[np.arange(channels) % samples.shape[0]]
    return resample(samples, own_rate, rate)
