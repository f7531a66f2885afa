"""What a hydrophone's node publishes: `latest.txt`, and in each folder a playlist that grows.

`<stream>/latest.txt` holds the unix time of the folder in use; `<stream>/hls/<unix time>/live.m3u8` lists every segment
of that folder since its start as `liveN.ts` (spec of the node: orcasound/orcanode, `node/stream.sh`).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Protocol, overload
from urllib.parse import quote
from xml.etree import ElementTree as ET

import m3u8

from shared.documents import Segment, TimeSource
from shared.errors import PlaylistError, StreamError
from shared.http import Http
from shared.hydrophones import Hydrophone
from shared.ingest.reading import Listed, Readings, segment_name

FOLDER_TO_AUDIO_OFFSET_S = 2.0
"""Seconds from a folder's epoch to its first sample, as OrcaHello's client measured it (`FOLDER_TO_AUDIO_OFFSET`)."""

BATCH_SEGMENTS = 6
"""Segments in a batch: about a minute, the clip that OrcaHello scores."""

_MAX_LATEST_BYTES = 1024
_MAX_PLAYLIST_BYTES = 8 * 1024 * 1024  # a folder of a week lists 60 480 segments in about 2 MB
_MAX_LISTING_PAGES = 100
_MAX_SKIPPED = 1000


class Segments(Sequence[Segment]):
    """The segments of a playlist in order of index. Each is made when it is asked for: mostly that is the newest few.

    Args:
        indices: N of each liveN.ts.
        durations_s: Their lengths, as long as `indices`.
        start_at: When the segment in a place of `indices` starts.
        url_of: The address of segment N.
    """

    def __init__(
        self,
        indices: Sequence[int],
        durations_s: Sequence[float],
        start_at: Callable[[int], datetime],
        url_of: Callable[[int], str],
    ) -> None:
        self.indices = indices
        self.durations_s = durations_s
        self._start_at = start_at
        self._url_of = url_of

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, place: int) -> Segment: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Segment, ...]: ...
    def __getitem__(self, place: int | slice) -> Segment | tuple[Segment, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        index = self.indices[place]
        return Segment(
            index=index, url=self._url_of(index), start_utc=self._start_at(place), duration_s=self.durations_s[place]
        )

    def place_of(self, index: int) -> int:
        """Where segment `index` stands; where it is not listed, the first after it."""
        return bisect_left(self.indices, index)


@dataclass(frozen=True)
class Playlist:
    """One folder's playlist: segments in order of index, `closed` once the node wrote its end (EXT-X-ENDLIST)."""

    epoch: int
    segments: Segments
    time_source: TimeSource
    closed: bool

    @property
    def last_index(self) -> int:
        """Index of the newest segment, -1 where there is none yet."""
        return self.segments.indices[-1] if self.segments else -1

    @property
    def start_utc(self) -> datetime:
        """When the folder's audio starts, as far as the playlist tells."""
        return self.segments[0].start_utc if self.segments else folder_start_utc(self.epoch)

    def between(self, first: int, stop: int) -> tuple[Segment, ...]:
        """The listed segments from index `first` to `stop` (excluded)."""
        return self.segments[self.segments.place_of(first) : self.segments.place_of(stop)]

    def unread_s(self, first: int) -> float:
        """Seconds of audio listed from index `first` on."""
        return sum(self.segments.durations_s[self.segments.place_of(first) :])

    def start_of(self, index: int) -> datetime:
        """When segment `index` starts: as listed, or reckoned from the nearest listed one with the mean length."""
        if not self.segments:
            return folder_start_utc(self.epoch)
        place = self.segments.place_of(index)
        near = self.segments[max(0, place - 1) : place + 1]
        nearest = min(near, key=lambda segment: (abs(segment.index - index), segment.index))
        if nearest.index == index:
            return nearest.start_utc
        mean_s = sum(self.segments.durations_s) / len(self.segments)
        if nearest.index < index:
            return nearest.end_utc + timedelta(seconds=(index - nearest.index - 1) * mean_s)
        return nearest.start_utc - timedelta(seconds=(nearest.index - index) * mean_s)


class Streams(Protocol):
    """What ingest needs of a hydrophone's stream."""

    def latest_epoch(self, hydrophone: Hydrophone) -> int:
        """The folder in use."""
        ...

    def playlist(self, hydrophone: Hydrophone, epoch: int, *, known: tuple[int, datetime] | None = None) -> Playlist:
        """The playlist of one folder; `known` is a segment's index and start, for lists that no longer begin at 0."""
        ...

    def folders(self, hydrophone: Hydrophone, *, after: int = 0) -> list[int]:
        """The epochs of all folders later than `after`, in order."""
        ...


class HttpStreams:
    """Streams read over HTTP(S), unsigned, as Orcasound publishes them."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._readings = Readings()

    def latest_epoch(self, hydrophone: Hydrophone) -> int:
        """Read `latest.txt`. Raises StreamError; PlaylistError when it holds no unix time."""
        url = f"{hydrophone.stream_url}/latest.txt"
        text = self._http.get_fresh(url, max_bytes=_MAX_LATEST_BYTES).decode("ascii", errors="replace").strip()
        epoch = epoch_of(text)
        if epoch is None:
            raise PlaylistError(f"{url}: holds {text[:40]!r} where the unix time of a folder should stand")
        return epoch

    def playlist(self, hydrophone: Hydrophone, epoch: int, *, known: tuple[int, datetime] | None = None) -> Playlist:
        """Read `live.m3u8` of one folder. Raises StreamError."""
        url = f"{hydrophone.stream_url}/hls/{epoch}/live.m3u8"
        text = self._http.get_grown(url, max_bytes=_MAX_PLAYLIST_BYTES).decode("utf-8", errors="replace")
        return parse_playlist(text, epoch=epoch, url=url, known=known, readings=self._readings)

    def folders(self, hydrophone: Hydrophone, *, after: int = 0) -> list[int]:
        """List the folders with S3 ListObjectsV2. Raises StreamError where the server does not speak it."""
        prefix = f"{hydrophone.node_name}/hls/"
        query = f"list-type=2&delimiter=%2F&prefix={quote(prefix, safe='')}"
        if after:
            query += f"&start-after={quote(f'{prefix}{after}/', safe='')}"
        found: set[int] = set()
        token = ""
        for _ in range(_MAX_LISTING_PAGES):
            url = f"{hydrophone.bucket_url}/?{query}{token}"
            epochs, next_token = parse_listing(self._http.get(url, max_bytes=_MAX_PLAYLIST_BYTES), url=url)
            found.update(epochs)
            if next_token is None:
                break
            token = f"&continuation-token={quote(next_token, safe='')}"
        else:
            raise StreamError(f"{hydrophone.bucket_url}: lists more than {_MAX_LISTING_PAGES} pages of folders")
        return sorted(epoch for epoch in found if epoch > after)


def epoch_of(name: str) -> int | None:
    """The unix time that a folder is named by; None where its name is none, as one in milliseconds."""
    return int(name) if re.fullmatch(r"[0-9]{1,11}", name) else None  # 11 digits: to the year 5138


def folder_start_utc(epoch: int) -> datetime:
    """When a folder's first sample was heard, by its name."""
    return datetime.fromtimestamp(epoch, tz=UTC) + timedelta(seconds=FOLDER_TO_AUDIO_OFFSET_S)


def parse_playlist(
    text: str, *, epoch: int, url: str, known: tuple[int, datetime] | None = None, readings: Readings | None = None
) -> Playlist:
    """Read a playlist, whole or cut off anywhere: entries that are not complete are not there yet.

    A segment starts at its EXT-X-PROGRAM-DATE-TIME, else at the folder's epoch + 2.0 s + the unrounded lengths
    before it. Where the list no longer starts at segment 0, times are carried forward from `known`. Segments that
    the list skips count with the mean length. `readings` spare it what they have read before, and change nothing else.
    Raises PlaylistError for what is no playlist.
    """
    if not text.lstrip("\ufeff \r\n").startswith("#EXTM3U"[: len(text)]):
        raise PlaylistError(f"{url}: is no HLS playlist (it starts with {text.strip()[:30]!r})")
    whole, _, last_line = text.rpartition("\n")
    if last_line.startswith("#") and not last_line.startswith("#EXT-X-ENDLIST"):
        text = whole + "\n"  # a tag cut in the middle, which the parser would stumble over
    try:
        reading = (readings or Readings()).read(text, url=url)
        segments, source = _in_time(reading.listed, epoch=epoch, known=known, folder_url=url.rsplit("/", 1)[0])
    except (ValueError, OverflowError, LookupError, TypeError, AttributeError, m3u8.ParseError) as error:
        # The parser raises whatever it stumbles over; one odd playlist must not stop the other hydrophones.
        raise PlaylistError(f"{url}: cannot be read as an HLS playlist: {error!r}") from error
    return Playlist(epoch, segments, source, closed=reading.closed)


def _in_time(
    listed: Listed, *, epoch: int, known: tuple[int, datetime] | None, folder_url: str
) -> tuple[Segments, TimeSource]:
    """The segments with their starts. Raises OverflowError where these are in no year that there is."""
    count = _plausible(listed.indices)
    indices, durations_s = listed.indices[:count], listed.durations_s[:count]

    def url_of(index: int) -> str:
        return listed.urls.get(index) or f"{folder_url}/{segment_name(index)}"

    if not count:
        return Segments((), (), ().__getitem__, url_of), "folder_epoch"
    dates = listed.dates
    if len(dates) >= count and all(index in dates for index in indices):
        dated = [dates[index] for index in indices]
        if all(before < after for before, after in pairwise(dated)):
            return Segments(indices, durations_s, dated.__getitem__, url_of), "program_date_time"
    mean_s = sum(durations_s) / count
    elapsed_s = [0.0]
    for (before, after), duration_s in zip(pairwise(indices), durations_s, strict=False):
        elapsed_s.append(elapsed_s[-1] + duration_s + (after - before - 1) * mean_s)
    source: TimeSource
    if indices[0] == 0:
        origin, source = folder_start_utc(epoch), "folder_epoch"
    elif known and known[0] in indices:
        origin, source = known[1] - timedelta(seconds=elapsed_s[indices.index(known[0])]), "carried_forward"
    else:
        origin, source = folder_start_utc(epoch) + timedelta(seconds=indices[0] * mean_s), "estimated"

    def start_at(place: int) -> datetime:
        return origin + timedelta(seconds=elapsed_s[place])

    start_at(-1)  # the last of all: should it be too late for a date, that shows here
    return Segments(indices, durations_s, start_at, url_of), source


def _plausible(indices: Sequence[int]) -> int:
    """How many come before the first absurd jump: a node that skips hours of segments does not exist."""
    jumps = (place for place, (before, after) in enumerate(pairwise(indices), 1) if after - before > _MAX_SKIPPED)
    return next(jumps, len(indices))


def parse_listing(body: bytes, *, url: str) -> tuple[list[int], str | None]:
    """Read one page of S3 ListObjectsV2: the folders' epochs, and the token of the next page if there is one."""
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat as Python bundles it expands no external entities
    except ET.ParseError as error:
        raise PlaylistError(f"{url}: the server does not list its folders as S3 does: {error}") from error
    if not root.tag.endswith("ListBucketResult"):
        raise PlaylistError(f"{url}: the server does not list its folders as S3 does (it answered {root.tag})")
    prefixes = [element.text or "" for element in root.iterfind("{*}CommonPrefixes/{*}Prefix")]
    names = [prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in prefixes]
    token = root.findtext("{*}NextContinuationToken")
    return [epoch for name in names if (epoch := epoch_of(name)) is not None], token or None
