"""Sound as samples: the types, the mix to one channel, and reading a recording of any length block by block."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from shared.errors import AudioError, AudioTooLarge

Samples = NDArray[np.float32]

MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ = 4_000, 384_000
MAX_CHANNELS = 32

# A container may name other files or addresses (playlists, concatenations). Nothing but the bytes given is ever read.
_CLOSED_WORLD = {"protocol_whitelist": "none"}

# A jump in the container's time that is no rounding, and the longest hole that is filled with silence. A longer jump is
# a clock that was set anew, not sound that was lost.
_JUMP_S, _LONGEST_HOLE_S = 0.1, 60.0

# Damaged packets in a row after which a recording is given up: some readers never reach the end of a broken file.
_MOST_FAILURES = 1_000
_FLOATS: dict[str, type[np.generic]] = {"flt": np.float32, "dbl": np.float64}
_SAMPLE_FORMATS = {"u8": np.uint8, "s16": np.int16, "s32": np.int32} | _FLOATS
_LOUDEST = 1e6  # float files may hold 16-bit numbers unscaled; beyond that nothing is sound
_log = logging.getLogger(__name__)

# What separates a channel with nothing at its input from a quiet one; see `mono`.
_DEAD_BELOW_DBFS, _DEAD_BELOW_LOUDEST_DB = -60.0, 20.0

_PIECE = 32_768  # samples that the cache holds, so that levels need no copy of the sound


@dataclass(frozen=True)
class Waveform:
    """Sound: `samples` is (channels, n) float32, full scale 1.0."""

    samples: Samples
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.samples.shape[1] / self.sample_rate_hz)


@dataclass(frozen=True)
class Run:
    """An unbroken stretch of a clip, `start_s` after the clip's start. `first_pts_s` is the container's own time."""

    waveform: Waveform
    start_s: float
    first_pts_s: float | None = None


@dataclass(frozen=True)
class Block:
    """A piece of a long recording, starting `start_s` after its start."""

    waveform: Waveform
    start_s: float
    is_last: bool


@dataclass(frozen=True)
class AudioLimits:
    """The most that is read: bytes as they come, and seconds once decoded."""

    max_bytes: int
    max_duration_s: float


def mono(waveform: Waveform) -> tuple[Samples, tuple[int, ...]]:
    """Mix to one channel by the arithmetic mean, leaving dead channels out.

    A channel is dead when its level without DC is below -60 dBFS **and** 20 dB or more below the loudest channel. The
    floor lies between what an Orcasound node gives with nothing but its own electronics (-71 dBFS, live1791) and the
    quietest sea among the reference segments (-53 dBFS, live6079). The distance keeps two quiet channels together; and
    should a live channel ever be left out by it, that channel would have changed the mix by less than a dB, whereas a
    dead one that stays in costs 6 dB of a stereo clip. A lone channel, or channels all equally silent, are never dead:
    their mean is taken.

    Returns:
        Samples (n,) float32, and the indices of the channels left out.
    """
    samples = waveform.samples
    if samples.shape[0] == 1 or samples.shape[1] == 0:
        return samples.mean(axis=0) if samples.shape[0] > 1 else samples[0], ()
    levels_db = np.array([_level_dbfs(channel) for channel in samples])
    is_dead = (levels_db < _DEAD_BELOW_DBFS) & (levels_db <= levels_db.max() - _DEAD_BELOW_LOUDEST_DB)
    alive = samples[~is_dead] if is_dead.any() else samples
    mixed = alive.mean(axis=0) if alive.shape[0] > 1 else alive[0]
    return mixed, tuple(int(channel) for channel in np.flatnonzero(is_dead))


def _level_dbfs(samples: Samples) -> float:
    """Mean square without DC, in dB re full scale, -200 at the least."""
    mean = samples.mean()
    pieces = (samples[start : start + _PIECE] - mean for start in range(0, samples.size, _PIECE))
    power = sum(float(np.dot(piece, piece)) for piece in pieces) / samples.size
    return float(10 * np.log10(max(power, 1e-20)))


def read_blocks(
    source: Path | str | BinaryIO, *, block_s: float, overlap_s: float, limits: AudioLimits | None = None
) -> Iterator[Block]:
    """Read a recording of any length and format that PyAV knows, in memory for one block.

    Block k holds [k * block_s, (k + 1) * block_s + overlap_s), the last one what is left; every block but the first
    brings sound that the one before did not hold. Damaged packets are skipped and their time is kept as silence. Delay
    that the container declares (MP3, MP4, Opus) is taken off by the decoder; nothing else is added or removed.

    Args:
        source: path, or binary file open at its start and able to seek.
        block_s: step from block to block, above 0.
        overlap_s: how far each block reaches into the next, 0 or more.
        limits: the most bytes and seconds to read; None for no limit.

    Raises:
        AudioError: the file cannot be read, or holds no sound that can be used; the message names the file.
        AudioTooLarge: it exceeds the limits.
    """
    if not isinstance(source, str | Path):
        yield from _blocks(source, str(getattr(source, "name", "the recording")), block_s, overlap_s, limits)
        return
    path = Path(source)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise AudioError(f"{path} is no regular file. Save the recording as a file first.")
    try:
        with path.open("rb") as file:
            yield from _blocks(file, str(path), block_s, overlap_s, limits)
    except FileNotFoundError as error:
        raise AudioError(f"{path}: there is no such file. Check the path.") from error
    except IsADirectoryError as error:
        raise AudioError(f"{path} is a folder. Name the recordings in it, such as {path}/*.wav.") from error
    except OSError as error:
        raise AudioError(
            f"{path} cannot be read: {error.strerror or error}. Check the file and its permissions."
        ) from error


def _blocks(file: BinaryIO, name: str, block_s: float, overlap_s: float, limits: AudioLimits | None) -> Iterator[Block]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size == 0:
        raise AudioError(f"{name} is empty. Was the recording or the copy broken off? Fetch it again.")
    if limits and size > limits.max_bytes:
        raise AudioTooLarge(f"{name} has {size} bytes, more than the {limits.max_bytes} allowed. Cut it into parts.")
    pieces = _uniform(_pieces(file, name), name, limits)
    first = next(pieces, None)
    if first is None:
        raise AudioError(f"{name}: no sound in it could be decoded. It is damaged, or not the format its name says.")
    rate = first.sample_rate_hz
    step, overlap = round(block_s * rate), round(overlap_s * rate)
    buffer, filled, index = np.empty((first.samples.shape[0], step + overlap), np.float32), 0, 0
    for waveform in chain([first], pieces):
        piece = waveform.samples
        while piece.shape[1]:
            if filled == buffer.shape[1]:
                yield Block(Waveform(buffer, rate), index * step / rate, is_last=False)
                following = np.empty_like(buffer)
                following[:, :overlap] = buffer[:, step:]
                buffer, filled, index = following, overlap, index + 1
            taken = min(piece.shape[1], buffer.shape[1] - filled)
            buffer[:, filled : filled + taken] = piece[:, :taken]
            piece, filled = piece[:, taken:], filled + taken
    yield Block(Waveform(buffer[:, :filled], rate), index * step / rate, is_last=True)


def _uniform(pieces: Iterator[Waveform], name: str, limits: AudioLimits | None) -> Iterator[Waveform]:
    """The pieces that hold sound, as long as they keep one format, finite samples and the limits."""
    shape: tuple[int, int] | None = None
    length = 0
    for piece in pieces:
        if not piece.samples.shape[1]:
            continue
        shape = shape or (piece.samples.shape[0], piece.sample_rate_hz)
        if (piece.samples.shape[0], piece.sample_rate_hz) != shape:
            at_s = length / shape[1]
            raise AudioError(f"{name} changes channels or sample rate {at_s:.1f} s from its start. Cut it there.")
        if not np.abs(piece.samples).max() <= _LOUDEST:  # also false for NaN
            raise AudioError(f"{name} holds samples that are no sound (NaN, inf, huge). Export it again as 16-bit PCM.")
        length += piece.samples.shape[1]
        if limits and length > limits.max_duration_s * piece.sample_rate_hz:
            raise AudioTooLarge(f"{name} is longer than the {limits.max_duration_s:g} s allowed. Cut it into parts.")
        yield piece


def _pieces(file: BinaryIO, name: str) -> Iterator[Waveform]:
    """The recording frame by frame, with silence in the place of what was lost, where the file's own times tell it."""
    advice = "It is damaged, or no recording; convert it to WAV or FLAC and try again."
    with open_container(file, f"{name} cannot be read as audio. {advice}") as container:
        if not container.streams.audio:
            raise AudioError(f"{name} holds no audio stream. Name a file with sound in it.")
        expected_s: float | None = None
        for frame in _sound_frames(container, name):
            waveform = Waveform(np.array(frame_channels(frame, name)), frame.sample_rate)
            start_s = frame.time
            if expected_s is not None and start_s is not None and _JUMP_S < start_s - expected_s <= _LONGEST_HOLE_S:
                hole = round((start_s - expected_s) * waveform.sample_rate_hz)
                yield Waveform(np.zeros((waveform.samples.shape[0], hole), np.float32), waveform.sample_rate_hz)
            yield waveform
            expected_s = None if start_s is None else start_s + waveform.duration_s


def _sound_frames(container: InputContainer, name: str) -> Iterator[av.AudioFrame]:
    """The frames that can be decoded. What a damaged packet took away shows in the time of the next good frame, if any.

    A file whose packets carry no times of their own (FLAC, MP3) is shorter by what was lost; a warning says so.
    """
    damaged: list[str] = []
    try:
        yield from _good_frames(container, damaged)
    finally:
        if damaged:
            _log.warning(
                "%s is damaged in %d places: some sound is not scored, and later times may be off by as much",
                name,
                len(damaged),
            )


def _good_frames(container: InputContainer, damaged: list[str]) -> Iterator[av.AudioFrame]:
    stream = container.streams.audio[0]
    packets, failures = container.demux(stream), 0
    while failures < _MOST_FAILURES:
        try:
            frames = next(packets).decode()
        except StopIteration:
            return
        except av.FFmpegError as error:
            damaged.append(str(error))
            packets, failures = container.demux(stream), failures + 1
        except IndexError as error:  # PyAV loses count of the streams in some damaged files
            damaged.append(str(error))
            return
        else:
            failures = 0
            yield from frames


@contextmanager
def open_container(file: BinaryIO, complaint: str) -> Iterator[InputContainer]:
    """Open audio so that nothing but `file` is read. Raises AudioError(`complaint`) when it is none."""
    try:
        container = av.open(file, "r", options=_CLOSED_WORLD, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(complaint) from error
    with container:
        yield container


def frame_channels(frame: av.AudioFrame, name: str) -> list[Samples]:
    """Each channel of a decoded frame, (n,) float32 whatever its sample format; where it can be, in the frame's memory.

    Raises AudioError for a rate, a count of channels or a sample format that is not read.
    """
    count = frame.layout.nb_channels
    check_format(count, frame.sample_rate, name)
    form = frame.format
    dtype = _SAMPLE_FORMATS.get(form.name.removesuffix("p"))
    if dtype is None:
        raise AudioError(f"{name} holds samples of format {form.name}. Convert it to 16-bit WAV or FLAC.")
    # Not frame.to_ndarray: it takes four times as long, and AAC comes in frames of 20 ms.
    if form.is_planar:
        planes = frame.planes[:count]  # of 8 channels PyAV finds 9 planes, the last of them no memory of ours
        raw = [np.frombuffer(memoryview(plane), dtype, frame.samples) for plane in planes]
    else:
        raw = list(np.frombuffer(memoryview(frame.planes[0]), dtype, frame.samples * count).reshape(-1, count).T)
    return raw if dtype is np.float32 else [_full_scale_1(channel) for channel in raw]


def _full_scale_1(raw: NDArray[Any]) -> Samples:
    """Samples of any type as float32."""
    if raw.dtype.kind == "f":
        return raw.astype(np.float32)
    full_scale = np.float32(2.0 ** (8 * raw.dtype.itemsize - 1))
    offset = full_scale if raw.dtype.kind == "u" else np.float32(0.0)
    return (raw.astype(np.float32) - offset) / full_scale


def check_format(channels: int, sample_rate_hz: int, name: str) -> None:
    """Raise AudioError when `name` has more channels, or another sample rate, than any recorder of sound in water."""
    if not (MIN_SAMPLE_RATE_HZ <= sample_rate_hz <= MAX_SAMPLE_RATE_HZ and 1 <= channels <= MAX_CHANNELS):
        raise AudioError(
            f"{name} has {channels} channels at {sample_rate_hz} Hz; Haro takes 1 to {MAX_CHANNELS} channels at "
            f"{MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz. Convert the recording."
        )
