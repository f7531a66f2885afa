"""A node as ingest sees it, without a network: folders of segments that grow, restart and break as a test wants."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.errors import StreamError, StreamNotFound
from shared.hydrophones import Hydrophone
from shared.ingest.hls import Playlist, parse_listing, parse_playlist

HYDROPHONE = Hydrophone(id="test_node", stream_url="http://127.0.0.1:9/bucket/test_node")
EPOCH = 1_717_743_618
START = datetime.fromtimestamp(EPOCH, tz=UTC)


@dataclass
class Clock:
    """A clock that a test moves."""

    time: datetime = START

    def __call__(self) -> datetime:
        """The time now."""
        return self.time

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


@dataclass
class FakeNode:
    """Implements `Streams` over playlists and listings made here, so that the real parsers are part of every test."""

    latest: int = EPOCH
    durations_s: dict[int, list[float]] = field(default_factory=dict)
    skipped: dict[int, set[int]] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    failing: dict[int, StreamError] = field(default_factory=dict)
    latest_error: StreamError | None = None
    lists_folders: bool = True
    odd_folders: list[str] = field(default_factory=list)
    listing_error: StreamError | None = None
    shown: dict[int, int] = field(default_factory=dict)

    def grow(self, segments: int, *, epoch: int | None = None, duration_s: float = 10.005333) -> None:
        """Publish more segments in the folder in use."""
        self.durations_s.setdefault(epoch or self.latest, []).extend([duration_s] * segments)

    def restart(self, epoch: int) -> None:
        """Begin a new folder."""
        self.latest = epoch
        self.durations_s[epoch] = []

    def text(self, epoch: int) -> str:
        """The folder's playlist, as ffmpeg writes it."""
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-TARGETDURATION:11"]
        durations = self.durations_s[epoch][: self.shown.get(epoch)]
        for index, duration_s in enumerate(durations):
            if index not in self.skipped.get(epoch, set()):
                lines += [f"#EXTINF:{duration_s:.6f},", f"live{index:03d}.ts"]
        if epoch in self.closed:
            lines.append("#EXT-X-ENDLIST")
        return "\n".join(lines) + "\n"

    def latest_epoch(self, hydrophone: Hydrophone) -> int:
        """The folder in use."""
        if self.latest_error:
            raise self.latest_error
        return self.latest

    def playlist(self, hydrophone: Hydrophone, epoch: int, *, known: tuple[int, datetime] | None = None) -> Playlist:
        """One folder's playlist."""
        if epoch in self.failing:
            raise self.failing[epoch]
        if epoch not in self.durations_s:
            raise StreamNotFound(f"no folder {epoch}")
        url = f"{hydrophone.stream_url}/hls/{epoch}/live.m3u8"
        return parse_playlist(self.text(epoch), epoch=epoch, url=url, known=known)

    def folders(self, hydrophone: Hydrophone, *, after: int = 0) -> list[int]:
        """All folders that are named after a time, as S3 lists them."""
        if self.listing_error:
            raise self.listing_error
        if not self.lists_folders:
            raise StreamNotFound("this server lists nothing")
        names = [*map(str, self.durations_s), *self.odd_folders]
        prefixes = "".join(f"<CommonPrefixes><Prefix>n/hls/{name}/</Prefix></CommonPrefixes>" for name in names)
        body = f"<ListBucketResult>{prefixes}</ListBucketResult>".encode()
        epochs, _ = parse_listing(body, url=hydrophone.bucket_url)
        return sorted(epoch for epoch in epochs if epoch > after)

    def published(self) -> set[tuple[int, int]]:
        """Every segment there is: (epoch, index)."""
        return {
            (epoch, index)
            for epoch, durations in self.durations_s.items()
            for index in range(len(durations))
            if index not in self.skipped.get(epoch, set())
        }
