"""Many hydrophones at once, in simulated time: what they publish by when, without a network."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Literal

from shared.demo.station import Station
from shared.errors import StreamNotFound, StreamUnreachable
from shared.hydrophones import Hydrophone
from shared.ingest.hls import Playlist, parse_playlist
from shared.ingest.reading import Readings

START_UTC = datetime(2026, 3, 20, 20, tzinfo=UTC)
BATCH = 6
_SEGMENT_S = (10.005333, 10.005333, 9.984)  # as ffmpeg cuts AAC at 48 kHz
_JITTER_S = 3.0
_STALL_S = 150.0
_RESTART_S = 20.0
_LEFT_S = 40.0  # two polls must see the same end of a folder

Temper = Literal["steady", "restarting", "stalling", "dead"]


@dataclass(frozen=True)
class Folder:
    """A stream folder: its epoch, when each segment is published (seconds after `START_UTC`), and its playlist."""

    epoch: int
    published_s: Sequence[float]
    ends: Sequence[int]
    text: str

    @classmethod
    def growing(cls, random: Random, start_s: float, end_s: float, pause: tuple[float, float]) -> Folder:
        """A folder that grows from start to end, but for a pause."""
        listed = ["#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-TARGETDURATION:11\n"]
        published_s: list[float] = []
        heard_s = start_s + 2.0
        while True:
            duration_s = _SEGMENT_S[len(published_s) % 3]
            heard_s += duration_s
            if pause[0] < heard_s < pause[1]:
                heard_s = pause[1]
            if heard_s + _JITTER_S > end_s:
                break
            listed.append(f"#EXTINF:{duration_s:.6f},\nlive{len(published_s):03d}.ts\n")
            published_s.append(heard_s + random.uniform(0.0, _JITTER_S))
        epoch = int(START_UTC.timestamp() + start_s)
        return cls(epoch, published_s, list(accumulate(map(len, listed))), "".join(listed))

    def count(self, now_s: float) -> int:
        """Segments published by then."""
        return bisect_right(self.published_s, now_s)

    def playlist(self, now_s: float) -> str:
        """The playlist as it stands then; nothing before the first segment."""
        count = self.count(now_s)
        return self.text[: self.ends[count]] if count else ""


@dataclass(frozen=True)
class Node:
    """A hydrophone's node: how it behaves, and its folders."""

    temper: Temper
    folders: tuple[Folder, ...]

    @classmethod
    def of(cls, temper: Temper, random: Random, length_s: float) -> Node:
        """A node that was started in the last half minute before `START_UTC`, and what happens to it in that time."""
        begins_s, never = -random.uniform(1.0, 30.0), (0.0, 0.0)
        if temper == "restarting":
            breaks_s = [length_s * random.uniform(part, part + 0.05) for part in (0.2, 0.6)]
            starts_s = [begins_s, *(at + _RESTART_S for at in breaks_s)]
            spans = zip(starts_s, [*breaks_s, length_s + 60.0], strict=True)
            return cls(temper, tuple(Folder.growing(random, start_s, end_s, never) for start_s, end_s in spans))
        pauses_s = length_s * random.uniform(0.05, 0.1)
        pause = (pauses_s, pauses_s + _STALL_S) if temper == "stalling" else never
        return cls(temper, (Folder.growing(random, begins_s, length_s + 60.0, pause),))

    def folder(self, now_s: float) -> Folder:
        """The one in use."""
        return [one for one in self.folders if one.epoch <= START_UTC.timestamp() + now_s][-1]

    def published(self, now_s: float) -> set[tuple[int, int]]:
        """Epoch and index of every segment there is."""
        return {(folder.epoch, index) for folder in self.folders for index in range(folder.count(now_s))}

    def due(self, now_s: float) -> set[tuple[int, int]]:
        """Those in whole batches, and all of a folder whose successor's second segment is out for `_LEFT_S`."""
        due = set()
        for folder, following in zip(self.folders, (*self.folders[1:], None), strict=True):
            left = following is not None and following.count(now_s - _LEFT_S) > 1
            count = folder.count(now_s)
            due |= {(folder.epoch, index) for index in range(count if left else count // BATCH * BATCH)}
        return due


class Sea:
    """So many nodes, of twenty one dead, one stalling, two restarting; implements `Streams`."""

    def __init__(self, count: int, *, length_s: float, now: Callable[[], datetime]) -> None:
        random = Random(20)
        steady: tuple[Temper, ...] = ("steady",) * 16
        tempers: tuple[Temper, ...] = ("restarting", "restarting", "stalling", "dead", *steady)
        self.nodes: Mapping[str, Node] = {
            f"node_{number:04d}": Node.of(tempers[number % 20], random, length_s) for number in range(count)
        }
        self._now = now
        self._readings = Readings()
        self.hydrophones = self._hydrophones_at("http://127.0.0.1:9/bucket")

    def _hydrophones_at(self, bucket_url: str) -> tuple[Hydrophone, ...]:
        return tuple(Hydrophone(id=name, stream_url=f"{bucket_url}/{name}") for name in self.nodes)

    def move_to(self, station: Station) -> None:
        """Have the streams on a server instead; `publish` puts them there."""
        self.hydrophones = self._hydrophones_at(station.url)
        for name in self.nodes.keys() - self.living().keys():
            station.fail(f"{name}/*", 503, times=None)

    @property
    def now_s(self) -> float:
        """Seconds since `START_UTC`."""
        return (self._now() - START_UTC) / timedelta(seconds=1)

    def living(self, *tempers: Temper) -> Mapping[str, Node]:
        """The nodes that are not dead, or those that behave so."""
        wanted = tempers or ("steady", "restarting", "stalling")
        return {name: node for name, node in self.nodes.items() if node.temper in wanted}

    def latest_epoch(self, hydrophone: Hydrophone) -> int:
        """The folder in use; a dead node does not answer."""
        node = self.nodes[hydrophone.id]
        if node.temper == "dead":
            raise StreamUnreachable(f"{hydrophone.stream_url}/latest.txt: no answer in time")
        return node.folder(self.now_s).epoch

    def playlist(self, hydrophone: Hydrophone, epoch: int, *, known: tuple[int, datetime] | None = None) -> Playlist:
        """One folder's playlist, by the real parser."""
        (folder,) = (one for one in self.nodes[hydrophone.id].folders if one.epoch == epoch)
        url = f"{hydrophone.stream_url}/hls/{epoch}/live.m3u8"
        if not (text := folder.playlist(self.now_s)):
            raise StreamNotFound(f"{url}: the server says it is not there (HTTP 404)")
        return parse_playlist(text, epoch=epoch, url=url, known=known, readings=self._readings)

    def folders(self, hydrophone: Hydrophone, *, after: int = 0) -> list[int]:
        """The folders that are listed."""
        folders = self.nodes[hydrophone.id].folders
        return [one.epoch for one in folders if one.epoch > after and one.count(self.now_s)]

    def publish(self, station: Station) -> None:
        """Put on a server what is there now, for streams read over HTTP."""
        for name, node in self.living().items():
            folder = node.folder(self.now_s)
            station.put(f"{name}/latest.txt", f"{folder.epoch}\n".encode())
            for one in node.folders:
                if text := one.playlist(self.now_s):
                    station.put(f"{name}/hls/{one.epoch}/live.m3u8", text.encode())
