"""The segments of a batch as one stretch of sound, decoded the way a player does: in one pass over their joined bytes.

AAC builds each frame on the one before, so a segment decoded alone begins with a click. What continues is therefore
joined before it is decoded. MPEG-TS declares no encoder delay and none is taken off: a run holds every sample that the
decoder gives, no more and no less, and the first ~20 ms of a stream are the encoder's own run-in.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import av
import numpy as np

from shared.errors import AudioError, AudioTooLarge
from shared.scoring.audio import AudioLimits, Run, Samples, Waveform, check_format, frame_channels, open_container

# Two segments belong together when the second begins where the sound of the first ends. Consecutive segments of real
# nodes agree within 2 ms; what a restarted encoder writes is off by seconds or days.
JOIN_TOLERANCE_S = 0.1

# MPEG-TS counts time in 33 bits of 90 kHz ticks, so that it begins anew every 26.5 hours.
_PTS_CYCLE_S = 2**33 / 90_000

# How much shorter than its EXTINF a segment may be. Where EXTINF is a whole number it may have been rounded (RFC 8216,
# 4.3.2.1), which is another half second.
SHORTFALL_S, ROUNDING_S = 0.25, 0.5

# A step between packets that is more than rounding of their times.
_PACKET_JUMP_S = 0.01

# A damaged AAC frame may decode to anything, once seen at 265 times full scale; real sound overshoots by a few percent.
_LOUDEST = 4.0


@dataclass(frozen=True)
class Part:
    """One segment of a batch: N of liveN.ts, its bytes (None when it could not be had), its place and its EXTINF.

    `start_s` is where it lies in the clip's nominal time line: the sum of the EXTINFs before it in the batch.
    """

    index: int
    data: bytes | None = field(repr=False)
    start_s: float
    duration_s: float


@dataclass(frozen=True)
class Failure:
    """A segment that was had but cannot be used, and why."""

    index: int
    reason: str


@dataclass(frozen=True)
class DecodedClip:
    """The sound of a batch. Each part with bytes is in `decoded` or in `failures`, by its index."""

    runs: tuple[Run, ...]
    failures: tuple[Failure, ...]
    decoded: tuple[int, ...]

    @property
    def first_pts_s(self) -> float | None:
        """The container's time of the first sample."""
        return self.runs[0].first_pts_s if self.runs else None


@dataclass(frozen=True)
class _Segment:
    """A part that can be opened, as its packets describe it."""

    part: Part
    data: bytes = field(repr=False)
    first_pts_s: float
    sound_s: float
    format: tuple[str, int, int]


def decode_segments(parts: Sequence[Part], limits: AudioLimits) -> DecodedClip:
    """Decode the segments of a batch, in order, into as few runs as the sound allows.

    A run ends at a missing or corrupt segment, where the container's time does not go on, and where channels, sample
    rate or codec change. It starts where its first segment lies in the clip's nominal time line. A break in time
    between two sound segments is no failure: both are kept.

    Args:
        parts: the segments, in order of index; `data` None leaves a hole.
        limits: the most bytes and seconds of the whole clip; a segment that would exceed them is a failure.

    Returns:
        The runs in order of time, and every segment that cannot be used with its reason.
    """
    failures: dict[int, str] = {}
    good: list[_Segment] = []
    room = limits
    for part in parts:
        if part.data is None:
            continue
        try:
            segment = _probe(part, part.data, room)
        except AudioError as error:
            failures[part.index] = str(error)
        else:
            good.append(segment)
            room = AudioLimits(room.max_bytes - len(segment.data), room.max_duration_s - segment.sound_s)
    runs: list[Run] = []
    for group in _continuous(good):
        runs += _decode_group(group, failures)
    return DecodedClip(
        runs=tuple(runs),
        failures=tuple(Failure(part.index, failures[part.index]) for part in parts if part.index in failures),
        decoded=tuple(segment.part.index for segment in good if segment.part.index not in failures),
    )


def _probe(part: Part, data: bytes, limits: AudioLimits) -> _Segment:
    """Read the packets of one segment without decoding them. Raises AudioError saying why it cannot be used."""
    if len(data) > limits.max_bytes:
        raise AudioTooLarge(f"{len(data)} bytes, more than the {limits.max_bytes} left for the clip")
    with open_container(io.BytesIO(data), f"{len(data)} bytes that are no audio container") as container:
        if not container.streams.audio:
            raise AudioError("holds no audio stream")
        stream = container.streams.audio[0]
        codec = stream.codec_context
        form = (codec.name, codec.channels, codec.sample_rate)
        check_format(codec.channels, codec.sample_rate, "the segment")
        try:
            timed = [
                (packet.pts, packet.duration or 0)
                for packet in container.demux(stream)
                if packet.size and packet.pts is not None
            ]
        except (av.FFmpegError, IndexError) as error:  # PyAV loses count of the streams in some damaged files
            raise AudioError("its packets cannot be read") from error
        tick = stream.time_base
    if not timed or tick is None:
        raise AudioError("holds no packets of audio")
    times, lengths = np.array(timed, np.int64).T * float(tick)
    steps = np.diff(times) - lengths[:-1]
    span_s = float(times[-1] + lengths[-1] - times[0])
    sound_s = span_s - float(steps[np.abs(steps) > _PACKET_JUMP_S].sum())
    _check_length(part, sound_s, limits)
    return _Segment(part, data, float(times[0]), sound_s, form)


def _check_length(part: Part, sound_s: float, limits: AudioLimits) -> None:
    tolerance_s = SHORTFALL_S + (ROUNDING_S if part.duration_s.is_integer() else 0.0)
    if sound_s < part.duration_s - min(tolerance_s, part.duration_s / 2):
        raise AudioError(f"holds {sound_s:.3f} s of sound where the playlist promises {part.duration_s:.3f} s")
    if sound_s > limits.max_duration_s:
        raise AudioTooLarge(
            f"holds {sound_s:.1f} s of sound, more than the {limits.max_duration_s:g} s left for the clip"
        )


def _continuous(segments: Iterable[_Segment]) -> list[list[_Segment]]:
    """Group neighbours whose sound goes on from one to the next."""
    groups: list[list[_Segment]] = []
    end_pts_s = 0.0
    for segment in segments:
        before = groups[-1][-1] if groups else None
        if (
            before is not None
            and before.part.index + 1 == segment.part.index
            and before.format == segment.format
            and _apart_s(segment.first_pts_s, end_pts_s) <= JOIN_TOLERANCE_S
        ):
            groups[-1].append(segment)
            end_pts_s += segment.sound_s
        else:
            groups.append([segment])
            end_pts_s = segment.first_pts_s + segment.sound_s
    return groups


def _apart_s(one_s: float, other_s: float) -> float:
    """How far apart two container times are, on the clock that begins anew."""
    forward_s = (one_s - other_s) % _PTS_CYCLE_S
    return min(forward_s, _PTS_CYCLE_S - forward_s)


def _decode_group(group: list[_Segment], failures: dict[int, str]) -> list[Run]:
    """Decode a group in one pass. When that fails, find whose fault it is, and decode what is left around it."""
    try:
        return [Run(_decode(group), group[0].part.start_s, group[0].first_pts_s)]
    except AudioError as error:
        if len(group) == 1:
            failures[group[0].part.index] = str(error)
            return []
    sound: list[_Segment] = []
    for segment in group:
        try:
            _decode([segment])
        except AudioError as error:
            failures[segment.part.index] = str(error)
        else:
            sound.append(segment)
    # Where each decodes alone but not together, alone is how they are kept.
    rest = _continuous(sound) if len(sound) < len(group) else [[segment] for segment in sound]
    return [run for part in rest for run in _decode_group(part, failures)]


def _decode(group: Sequence[_Segment]) -> Waveform:
    """One pass over the joined bytes. Raises AudioError when a packet is damaged or sound is lacking."""
    promised_s = sum(segment.sound_s for segment in group)
    room_s = promised_s + JOIN_TOLERANCE_S * len(group)
    samples: Samples = np.empty((0, 0), np.float32)
    filled, rate = 0, 0
    with open_container(io.BytesIO(b"".join(segment.data for segment in group)), "is no audio container") as container:
        try:
            for frame in container.decode(audio=0):
                channels = frame_channels(frame, "the segment")
                if not rate:  # of the sound, not of the header: HE-AAC decodes to twice the rate its header gives
                    rate = frame.sample_rate
                    samples = np.empty((len(channels), round(room_s * rate)), np.float32)
                end = filled + frame.samples
                if (len(channels), frame.sample_rate) != (len(samples), rate):
                    raise AudioError("changes its channels or sample rate in its midst")
                if end > samples.shape[1]:
                    raise AudioError(f"decodes to more than the {promised_s:.3f} s its packets promise")
                for row, channel in zip(samples, channels, strict=True):
                    row[filled:end] = channel
                filled = end
        except (av.FFmpegError, IndexError) as error:  # as in _probe
            raise AudioError(f"damaged after {filled / max(rate, 1):.2f} s") from error
    if not filled or filled / rate < promised_s - JOIN_TOLERANCE_S:
        raise AudioError(f"only {filled / max(rate, 1):.3f} s of {promised_s:.3f} s could be decoded")
    sound = samples[:, :filled]
    if not (sound.max() <= _LOUDEST and sound.min() >= -_LOUDEST):  # also true of NaN
        raise AudioError(f"decodes to samples beyond {_LOUDEST:g} times full scale: damaged bits, no sound")
    return Waveform(sound, rate)
