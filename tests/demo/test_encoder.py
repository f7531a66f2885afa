"""Segments as ffmpeg cuts them: one encode, real joins, running timestamps."""

from __future__ import annotations

import io
from collections.abc import Iterator

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from shared.demo.encoder import PRIMING_SAMPLES, SAMPLE_RATE_HZ, EncodedSegment, encode_segments

FRAME = 1024


def tone_with_pulses(duration_s: float) -> NDArray[np.float32]:
    """A soft chord with a sharp pulse at every whole ten seconds, just where segments join."""
    time_s = np.arange(round(duration_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sound = 0.1 * np.sin(2 * np.pi * 440 * time_s) + 0.1 * np.sin(2 * np.pi * 3000 * time_s)
    for at_s in range(10, int(duration_s), 10):
        sound += 0.6 * np.exp(-(((time_s - at_s) / 0.0004) ** 2)) * np.sin(2 * np.pi * 4000 * (time_s - at_s))
    return np.asarray(sound, dtype=np.float32)


def in_blocks(sound: NDArray[np.float32], size: int = 30_011) -> Iterator[NDArray[np.float32]]:
    """The sound in pieces of an awkward size."""
    yield from np.split(sound, range(size, sound.shape[-1], size), axis=-1)


def packets(data: bytes) -> list[float]:
    """Presentation times, in seconds, of the audio packets."""
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        stream = container.streams.audio[0]
        assert stream.time_base is not None
        return [float(packet.pts * stream.time_base) for packet in container.demux(stream) if packet.pts is not None]


def decoded(data: bytes) -> NDArray[np.float32]:
    """All samples, (channels, n)."""
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


@pytest.fixture(scope="module")
def source() -> NDArray[np.float32]:
    """35 s of sound."""
    return tone_with_pulses(35)


@pytest.fixture(scope="module")
def segments(source: NDArray[np.float32]) -> list[EncodedSegment]:
    """The sound's segments."""
    return list(encode_segments(in_blocks(source)))


def test_segments_have_468_or_469_frames_and_the_last_one_the_rest(segments: list[EncodedSegment]) -> None:
    """Whole segments last as long as a node's; EXTINF is the sum of their frames."""
    assert [segment.index for segment in segments] == [0, 1, 2, 3]
    for segment in segments[:-1]:
        frames = len(packets(segment.data))
        assert frames in (468, 469)
        assert segment.duration_s == pytest.approx(frames * FRAME / SAMPLE_RATE_HZ, abs=2e-6)
    assert segments[-1].duration_s == pytest.approx(5.0, abs=0.05)


def test_timestamps_run_on_across_joins_from_1_4_seconds(segments: list[EncodedSegment]) -> None:
    """The first packet is at 1.4 s as from ffmpeg, and every next one a frame later, whatever the segment."""
    times_s = [time_s for segment in segments for time_s in packets(segment.data)]

    assert times_s[0] == pytest.approx(1.4, abs=1e-4)
    assert np.diff(times_s) == pytest.approx(FRAME / SAMPLE_RATE_HZ, abs=3e-5)


def test_joined_segments_decode_to_the_source(source: NDArray[np.float32], segments: list[EncodedSegment]) -> None:
    """Decoded in one pass there is no click: level and samples are the source's, joins included."""
    heard = decoded(b"".join(segment.data for segment in segments))[0][PRIMING_SAMPLES:][: source.size]

    error = heard - source[: heard.size]
    worst_near_join = max(np.abs(error[at - 2000 : at + 2000]).max() for at in (480_256, 960_512, 1_440_000))
    assert heard.std() == pytest.approx(source.std(), rel=0.02)
    assert error.std() < 0.02 * source.std()
    assert worst_near_join < 0.05


def test_pulses_stand_where_they_were_to_a_millisecond(
    source: NDArray[np.float32], segments: list[EncodedSegment]
) -> None:
    """The time of a pulse in the decoded sound is its time in the source plus the priming, to 0.1 ms."""
    heard = decoded(b"".join(segment.data for segment in segments))[0]
    for at_s in (10, 20, 30):
        start = at_s * SAMPLE_RATE_HZ - 500
        lag = np.argmax(np.correlate(heard[start : start + 4000], source[start : start + 1000], "valid"))
        assert lag == pytest.approx(PRIMING_SAMPLES, abs=5)


def test_a_segment_decoded_alone_does_not_end_where_the_next_begins(segments: list[EncodedSegment]) -> None:
    """AAC overlaps across joins: a segment's first frame, decoded alone, is not what it is in context."""
    together = decoded(segments[0].data + segments[1].data)[0]
    alone = decoded(segments[1].data)[0]
    first = len(packets(segments[0].data)) * FRAME

    assert np.abs(alone[:FRAME] - together[first : first + FRAME]).max() > 0.02
    assert np.abs(alone[FRAME : 9 * FRAME] - together[first + FRAME : first + 9 * FRAME]).max() < 1e-4


def test_two_channels_stay_apart() -> None:
    """A stereo source comes back as two channels of their own levels."""
    sound = np.stack([tone_with_pulses(3), np.zeros(3 * SAMPLE_RATE_HZ, dtype=np.float32)])

    (segment,) = encode_segments(in_blocks(sound))
    heard = decoded(segment.data)

    assert heard.shape[0] == 2
    assert heard[0].std() > 0.09
    assert heard[1].std() < 1e-3


def test_segments_come_while_the_sound_goes_on(source: NDArray[np.float32]) -> None:
    """The first segment is there long before the sound ends, and closing early is no error."""
    taken = 0

    def counted() -> Iterator[NDArray[np.float32]]:
        nonlocal taken
        for block in in_blocks(source):
            taken += block.size
            yield block

    stream = encode_segments(counted())
    first = next(stream)
    stream.close()

    assert first.index == 0
    assert taken < 12 * SAMPLE_RATE_HZ


def test_encoding_is_deterministic(segments: list[EncodedSegment], source: NDArray[np.float32]) -> None:
    """The same sound gives the same bytes, whatever the size of the blocks it comes in."""
    assert list(encode_segments(in_blocks(source, 48_000))) == segments
