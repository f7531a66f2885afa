"""Sound to HLS segments, as ffmpeg on a hydrophone node makes them: one unbroken AAC encode, cut every ten seconds."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 48_000
SEGMENT_S = 10.0
PRIMING_SAMPLES = 1024
"""How many samples the AAC encoder puts before the first of the source: it stands this far into segment 0."""

BIT_RATE = 128_000
AAC_CODER = "fast"
"""At this bit rate the fast search sounds like the default one at the nodes' 69 kbit/s, in half the time."""

MAX_DELAY_US = 700_000
"""ffmpeg's own default: streams start at 1.4 s, and several AAC frames share one PES packet."""


@dataclass(frozen=True)
class EncodedSegment:
    """Segment `index` of a folder: MPEG-TS bytes, and its length as the muxer states it in EXTINF."""

    index: int
    duration_s: float
    data: bytes


def encode_segments(blocks: Iterable[NDArray[np.float32]]) -> Generator[EncodedSegment, None, None]:
    """Encode a stream of sound as the segments of one folder; each comes as soon as it is complete.

    Args:
        blocks: consecutive pieces of the sound at `SAMPLE_RATE_HZ`, (n,) for mono or (channels, n) for one or two
            channels, full scale 1.0.

    Yields:
        The segments in order. Each ends with the AAC frame that reaches `SEGMENT_S`, so they last 468 or 469 frames;
        the last one holds what was left.
    """
    files: dict[str, _KeptFile] = {}

    def open_file(url: str, _flags: int, _options: Mapping[str, str]) -> _KeptFile:
        return files.setdefault(url, _KeptFile())

    options = {
        "segment_time": str(SEGMENT_S),
        "segment_format": "mpegts",
        "segment_list": "list.csv",
        "segment_list_type": "csv",
        "max_delay": str(MAX_DELAY_US),
    }
    sent = 0
    taken = 0
    with av.open("live%03d.ts", "w", format="segment", options=options, io_open=open_file) as container:
        stream: av.AudioStream | None = None
        for block in blocks:
            planes = np.ascontiguousarray(np.atleast_2d(block), dtype=np.float32)
            layout = "mono" if planes.shape[0] == 1 else "stereo"
            if stream is None:
                stream = container.add_stream(
                    "aac", rate=SAMPLE_RATE_HZ, layout=layout, options={"aac_coder": AAC_CODER}
                )
                stream.bit_rate = BIT_RATE * planes.shape[0]
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE_HZ, sent, Fraction(1, SAMPLE_RATE_HZ)
            sent += planes.shape[1]
            container.mux(stream.encode(frame))
            for segment in _completed(files, taken):
                taken += 1
                yield segment
        if stream is not None:
            container.mux(stream.encode(None))
    yield from _completed(files, taken)


def _completed(files: dict[str, _KeptFile], first: int) -> Iterator[EncodedSegment]:
    """The segments from `first` on that the muxer's list names: `name,start,end` once a segment is closed."""
    if "list.csv" not in files:
        return
    for index, line in enumerate(files["list.csv"].getvalue().decode().splitlines()):
        if index >= first:
            name, start_s, end_s = line.split(",")
            yield EncodedSegment(index, float(end_s) - float(start_s), files.pop(name).getvalue())


class _KeptFile(io.BytesIO):
    """A file in memory whose content can be had after the muxer has closed it."""

    def close(self) -> None:
        """Keep the content; it goes with the object."""
