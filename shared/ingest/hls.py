"""What a hydrophone's node publishes: `latest.txt`, and in each folder a playlist that grows.

`<stream>/latest.txt` holds the unix time of the folder in use; `<stream>/hls/<unix time>/live.m3u8` lists every segment
of that folder since its start as `liveN.ts` (spec of the node: orcasound/orcanode, `node/stream.sh`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Protocol
from urllib.parse import quote, urljoin
from xml.etree import ElementTree as ET

import m3u8

from shared.documents import Segment, TimeSource
from shared.errors import PlaylistError, StreamError
from shared.http import Http
from shared.hydrophones import Hydrophone

FOLDER_TO_AUDIO_OFFSET_S = 2.0
"""Seconds from a folder's epoch to its first sample, as OrcaHello's client measured it (`FOLDER_TO_AUDIO_OFFSET`)."""

BATCH_SEGMENTS = 6
"""Segments in a batch: about a minute, the clip that OrcaHello scores."""

_SEGMENT_NAME = re.compile(r"(\d{1,9})\.ts(?:\?.*)?$", re.IGNORECASE)
_MAX_LATEST_BYTES = 1024
_MAX_PLAYLIST_BYTES = 8 * 1024 * 1024  # a folder of a week lists 60 480 segments in about 2 MB
_MAX_LISTING_PAGES = 100
_MAX_SEGMENT_S = 3600.0
_MAX_URI_LENGTH = 2048
_MAX_SKIPPED = 1000

_Entry = tuple[str, float, datetime | None]


@dataclass(frozen=True)
class Playlist:
    """One folder's playlist: segments in order of index, `closed` once the node wrote its end (EXT-X-ENDLIST)."""

    epoch: int
    segments: tuple[Segment, ...]
    time_source: TimeSource
    closed: bool

    @property
    def last_index(self) -> int:
        """Index of the newest segment, -1 where there is none yet."""
        return self.segments[-1].index if self.segments else -1

    @property
    def start_utc(self) -> datetime:
        """When the folder's audio starts, as far as the playlist tells."""
        return self.segments[0].start_utc if self.segments else folder_start_utc(self.epoch)

    def start_of(self, index: int) -> datetime:
        """When segment `index` starts: as listed, or reckoned from the nearest listed one with the mean length."""
        if not self.segments:
            return folder_start_utc(self.epoch)
        nearest = min(self.segments, key=lambda segment: (abs(segment.index - index), segment.index))
        if nearest.index == index:
            return nearest.start_utc
        mean_s = sum(segment.duration_s for segment in self.segments) / len(self.segments)
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

    def latest_epoch(self, hydrophone: Hydrophone) -> int:
        """Read `latest.txt`. Raises StreamError; PlaylistError when it holds no unix time."""
        url = f"{hydrophone.stream_url}/latest.txt"
        text = self._http.get_fresh(url, max_bytes=_MAX_LATEST_BYTES).decode("ascii", errors="replace").strip()
        if not re.fullmatch(r"\d{1,11}", text):
            raise PlaylistError(f"{url}: holds {text[:40]!r} where the unix time of a folder should stand")
        return int(text)

    def playlist(self, hydrophone: Hydrophone, epoch: int, *, known: tuple[int, datetime] | None = None) -> Playlist:
        """Read `live.m3u8` of one folder. Raises StreamError."""
        url = f"{hydrophone.stream_url}/hls/{epoch}/live.m3u8"
        text = self._http.get_fresh(url, max_bytes=_MAX_PLAYLIST_BYTES).decode("utf-8", errors="replace")
        return parse_playlist(text, epoch=epoch, url=url, known=known)

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


def folder_start_utc(epoch: int) -> datetime:
    """When a folder's first sample was heard, by its name."""
    return datetime.fromtimestamp(epoch, tz=UTC) + timedelta(seconds=FOLDER_TO_AUDIO_OFFSET_S)


def parse_playlist(text: str, *, epoch: int, url: str, known: tuple[int, datetime] | None = None) -> Playlist:
    """Read a playlist, whole or cut off anywhere: entries that are not complete are not there yet.

    A segment starts at its EXT-X-PROGRAM-DATE-TIME, else at the folder's epoch + 2.0 s + the unrounded lengths
    before it. Where the list no longer starts at segment 0, times are carried forward from `known`. Segments that
    the list skips count with the mean length. Raises PlaylistError for what is no playlist.
    """
    if not text.lstrip("\ufeff \r\n").startswith("#EXTM3U"[: len(text)]):
        raise PlaylistError(f"{url}: is no HLS playlist (it starts with {text.strip()[:30]!r})")
    whole, _, last_line = text.rpartition("\n")
    if last_line.startswith("#") and not last_line.startswith("#EXT-X-ENDLIST"):
        text = whole  # a tag cut in the middle, which the parser would stumble over
    try:
        parsed = m3u8.loads(text)
        entries = _entries(parsed.segments, folder_url=url.rsplit("/", 1)[0])
        indices = _plausible(sorted(entries))
        if not indices:
            return Playlist(epoch, (), "folder_epoch", closed=parsed.is_endlist)
        starts, source = _start_times(indices, entries, epoch=epoch, known=known)
        segments = tuple(
            Segment(index=index, url=entries[index][0], start_utc=start, duration_s=entries[index][1])
            for index, start in zip(indices, starts, strict=True)
        )
    except (ValueError, OverflowError, LookupError, TypeError, AttributeError, m3u8.ParseError) as error:
        # The parser raises whatever it stumbles over; one odd playlist must not stop the other hydrophones.
        raise PlaylistError(f"{url}: cannot be read as an HLS playlist: {error!r}") from error
    return Playlist(epoch, segments, source, closed=parsed.is_endlist)


def _entries(listed: Iterable[Any], *, folder_url: str) -> dict[int, _Entry]:
    """What the playlist lists, by index: address, length, and EXT-X-PROGRAM-DATE-TIME where there is one."""
    entries: dict[int, _Entry] = {}
    for entry in listed:
        uri = entry.uri or ""
        name = _SEGMENT_NAME.search(uri)
        if name and entry.duration and 0 < entry.duration <= _MAX_SEGMENT_S and len(uri) <= _MAX_URI_LENGTH:
            plain = "/" not in uri and ":" not in uri  # joining addresses properly costs ten times as much
            address = f"{folder_url}/{uri}" if plain else urljoin(f"{folder_url}/", uri)
            entries.setdefault(int(name[1]), (address, entry.duration, entry.current_program_date_time))
    return entries


def _plausible(indices: list[int]) -> list[int]:
    """The indices up to the first absurd jump: a node that skips hours of segments does not exist."""
    for position, (before, after) in enumerate(pairwise(indices), start=1):
        if after - before > _MAX_SKIPPED:
            return indices[:position]
    return indices


def _start_times(
    indices: list[int],
    entries: dict[int, _Entry],
    *,
    epoch: int,
    known: tuple[int, datetime] | None,
) -> tuple[list[datetime], TimeSource]:
    dated = [_aware(moment) for index in indices if (moment := entries[index][2]) is not None]
    if len(dated) == len(indices) and all(before < after for before, after in pairwise(dated)):
        return dated, "program_date_time"
    mean_s = sum(entries[index][1] for index in indices) / len(indices)
    elapsed_s = [0.0]
    for before, after in pairwise(indices):
        elapsed_s.append(elapsed_s[-1] + entries[before][1] + (after - before - 1) * mean_s)
    source: TimeSource
    if indices[0] == 0:
        origin, source = folder_start_utc(epoch), "folder_epoch"
    elif known and known[0] in entries:
        origin, source = known[1] - timedelta(seconds=elapsed_s[indices.index(known[0])]), "carried_forward"
    else:
        origin, source = folder_start_utc(epoch) + timedelta(seconds=indices[0] * mean_s), "estimated"
    return [origin + timedelta(seconds=elapsed) for elapsed in elapsed_s], source


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


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
    return [int(name) for name in names if name.isascii() and name.isdigit()], token or None
