"""A hydrophone node: publishes segments into a station as Orcasound's stream script does, faults included."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from shared.demo.encoder import EncodedSegment
from shared.demo.station import Station

FIRST_SAMPLE_S = 2.0
"""How long after its folder's epoch a node's first sample was taken."""

SegmentFault = Literal["missing", "corrupt", "truncated"]


class Node:
    """One hydrophone's stream folders on a station.

    `start_folder` writes `latest.txt`; `live.m3u8` appears with the first segment and lists every segment since the
    folder's start. Nothing here waits: the caller decides when the next segment comes.

    Args:
        station: where to publish.
        name: the node's name, first part of every key.
        program_date_time: whether playlists carry EXT-X-PROGRAM-DATE-TIME; Orcasound's do not.
    """

    def __init__(self, station: Station, name: str, *, program_date_time: bool = False) -> None:
        self.name = name
        self.epoch: int | None = None
        self._station = station
        self._program_date_time = program_date_time
        self._listed: list[EncodedSegment] = []

    @property
    def url(self) -> str:
        """The stream's address: what a hydrophone's settings hold."""
        return f"{self._station.url}/{self.name}"

    @property
    def playlist_key(self) -> str:
        """Key of the current folder's playlist."""
        return self.segment_key("live.m3u8")

    def segment_key(self, what: int | str) -> str:
        """Key of a segment, by its index, or of another file of the current folder."""
        file_name = f"live{what:03d}.ts" if isinstance(what, int) else what
        return f"{self.name}/hls/{self.epoch}/{file_name}"

    def start_folder(self, epoch: int) -> None:
        """Begin a folder, as every start of a node does; the old one stays as it is, without an end mark."""
        self.epoch = epoch
        self._listed = []
        self._station.put(f"{self.name}/latest.txt", f"{epoch}\n".encode())

    def add(self, segment: EncodedSegment, *, fault: SegmentFault | None = None) -> None:
        """Publish a segment, then list it.

        `missing` lists it only; `corrupt` publishes as many random bytes instead; `truncated` its first tenth.
        """
        data = segment.data
        if fault == "corrupt":
            data = np.random.default_rng(segment.index).bytes(len(data))
        elif fault == "truncated":
            data = data[: len(data) // 10]
        if fault != "missing":
            self._station.put(self.segment_key(segment.index), data)
        self._listed.append(segment)
        self._station.put(self.playlist_key, self.playlist())

    def end(self) -> None:
        """Close the folder's playlist with EXT-X-ENDLIST: nothing more will come."""
        self._station.put(self.playlist_key, self.playlist(ended=True))

    def playlist(self, *, count: int | None = None, ended: bool = False) -> bytes:
        """The current folder's playlist, or the one it was when it had `count` segments: for playlists that shrink."""
        longest_s = max((segment.duration_s for segment in self._listed), default=0.0)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            "#EXT-X-MEDIA-SEQUENCE:0",
            "#EXT-X-ALLOW-CACHE:YES",
            f"#EXT-X-TARGETDURATION:{int(np.ceil(longest_s))}",
        ]
        start = datetime.fromtimestamp(self.epoch or 0, UTC) + timedelta(seconds=FIRST_SAMPLE_S)
        elapsed_s = 0.0
        for segment in self._listed[:count]:
            if self._program_date_time:
                moment = (start + timedelta(milliseconds=round(elapsed_s * 1000))).isoformat(timespec="milliseconds")
                lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{moment.replace('+00:00', 'Z')}")
            lines += [f"#EXTINF:{segment.duration_s:.6f},", f"live{segment.index:03d}.ts"]
            elapsed_s += segment.duration_s
        if ended:
            lines.append("#EXT-X-ENDLIST")
        return ("\n".join(lines) + "\n").encode()
