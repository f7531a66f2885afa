"""Small HLS streams made on the spot: one unbroken AAC encode, cut into MPEG-TS segments whose time goes on."""

from __future__ import annotations

import io
import random
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from shared.scoring.segments import Part

RATE_HZ = 16_000
FRAME = 1024
FRAMES_PER_SEGMENT = 47
SEGMENT_S = FRAMES_PER_SEGMENT * FRAME / RATE_HZ  # 3.008 s


def noise(duration_s: float, *, channels: int = 1, level: float = 0.05, seed: int = 1) -> NDArray[np.float32]:
    """White noise, (channels, n) float32 at RATE_HZ."""
    shape = (channels, round(duration_s * RATE_HZ))
    return (np.random.default_rng(seed).standard_normal(shape) * level).astype(np.float32)


def ts_segments(samples: NDArray[np.float32], *, from_s: float = 0.0, rate_hz: int = RATE_HZ) -> list[bytes]:
    """Encode sound as segments of FRAMES_PER_SEGMENT AAC frames; `from_s` is the container's time at the first one."""
    packets = _aac_packets(samples, rate_hz)
    count = len(packets) // FRAMES_PER_SEGMENT
    return [
        _mpegts(packets[i * FRAMES_PER_SEGMENT : (i + 1) * FRAMES_PER_SEGMENT], samples.shape[0], rate_hz, from_s)
        for i in range(count)
    ]


def short_segment(frames: int) -> bytes:
    """A well-formed segment of so few AAC frames (1024 samples each)."""
    return _mpegts(_aac_packets(noise(1.0), RATE_HZ)[:frames], 1, RATE_HZ, 0.0)


def stream(count: int, *, channels: int = 1, seed: int = 1, level: float = 0.05, from_s: float = 0.0) -> list[bytes]:
    """`count` consecutive segments of noise."""
    return ts_segments(noise(count * SEGMENT_S, channels=channels, level=level, seed=seed), from_s=from_s)[:count]


def parts(data: list[bytes | None], *, duration_s: float = SEGMENT_S) -> list[Part]:
    """The segments as parts of a batch that begins at segment 0."""
    return [Part(i, one, i * duration_s, duration_s) for i, one in enumerate(data)]


def flipped(data: bytes, *, bits: int, seed: int) -> bytes:
    """The bytes with some bits turned over."""
    damaged, chance = bytearray(data), random.Random(seed)
    for _ in range(bits):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def video_only() -> bytes:
    """An MPEG-TS segment with a picture and no sound."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        video = container.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for _ in range(5):
            container.mux(video.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(video.encode(None))
    return file.getvalue()


def _aac_packets(samples: NDArray[np.float32], rate_hz: int) -> list[Any]:
    encoder = av.AudioCodecContext.create("aac", "w")
    encoder.sample_rate, encoder.layout, encoder.format = rate_hz, _layout(samples.shape[0]), "fltp"
    packets: list[Any] = []
    for at in range(0, samples.shape[1], FRAME):
        piece = np.ascontiguousarray(samples[:, at : at + FRAME])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=_layout(samples.shape[0]))
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, at, Fraction(1, rate_hz)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return packets


def _mpegts(packets: list[Any], channels: int, rate_hz: int, from_s: float) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts", options={"avoid_negative_ts": "disabled"}) as container:
        out = container.add_stream("aac", rate=rate_hz, layout=_layout(channels))
        for packet in packets:
            copy = av.Packet(bytes(packet))
            copy.time_base = Fraction(1, rate_hz)
            copy.pts = copy.dts = packet.pts + round((from_s + 1) * rate_hz)
            copy.duration = FRAME
            copy.stream = out
            container.mux(copy)
    return file.getvalue()


def _layout(channels: int) -> str:
    return {1: "mono", 2: "stereo"}[channels]
