"""Reading playlists that grow: what was read before is not parsed again.

A folder's playlist lists all of its segments since its start, some 8640 in a day, and is asked for three times a
minute: parsed whole, it takes a tenth of a second each time. So each reading remembers how far the text is settled (up
to its last whole entry) and what it lists up to there. If a later text begins with the same characters, the parser sees
only the rest of it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import m3u8

_SEGMENT_NAME = re.compile(r"(\d{1,9})\.ts(?:\?.*)?$", re.IGNORECASE)
_MAX_SEGMENT_S = 3600.0
_MAX_URI_LENGTH = 2048
_REMEMBERED = 1024  # folders; a day's takes 0.1 MB

# An entry that nothing written after it can change: each line whole, and plain enough that the parser must see the same
# lines (it knows more ends of lines than \n).
_WHOLE_ENTRY = re.compile(r"#EXTINF:[ -~]*\r?\n(?:#[ -~]*\r?\n)*(?!#)[!-~][ -~]*\r?\n")


@dataclass(frozen=True)
class Listed:
    """The segments a playlist lists, in order of index; of two with the same index, the first.

    In columns, and with names of their own only for segments that are not called as a node calls them
    (`live000.ts`), so that many playlists can be remembered: 12 bytes a segment.

    Attributes:
        indices: N of each segment.
        durations_s: its length (EXTINF), as long as `indices`.
        urls: by index, the addresses of those that are not `<folder>/liveNNN.ts`.
        dates: by index, when it starts by the playlist's own clock (EXT-X-PROGRAM-DATE-TIME), where it has one; in UTC.
    """

    indices: array[int] = field(default_factory=lambda: array("I"))
    durations_s: array[float] = field(default_factory=lambda: array("d"))
    urls: Mapping[int, str] = field(default_factory=dict)
    dates: Mapping[int, datetime] = field(default_factory=dict)

    def and_also(self, entries: Iterable[Mapping[str, Any]], *, folder_url: str) -> Listed:
        """These and the parser's entries that follow them; what is no segment is left out."""
        indices, durations_s = self.indices[:], self.durations_s[:]
        urls, dates = dict(self.urls), dict(self.dates)
        for entry in entries:
            uri, duration_s = entry.get("uri") or "", entry.get("duration")
            name = _SEGMENT_NAME.search(uri)
            if not (name and duration_s and 0 < duration_s <= _MAX_SEGMENT_S and len(uri) <= _MAX_URI_LENGTH):
                continue
            index = int(name[1])
            place = len(indices) if not indices or index > indices[-1] else bisect_left(indices, index)
            if place < len(indices) and indices[place] == index:
                continue
            indices.insert(place, index)
            durations_s.insert(place, duration_s)
            if uri != segment_name(index):
                urls[index] = urljoin(f"{folder_url}/", uri)
            if moment := entry.get("current_program_date_time"):
                dates[index] = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return Listed(indices, durations_s, urls, dates)


@dataclass(frozen=True)
class Reading:
    """A text, or the first `length` characters of one, and what it lists.

    `clock` is EXT-X-PROGRAM-DATE-TIME carried forward to its end, `closed` whether it holds EXT-X-ENDLIST: all of what
    the parser knows at the end of a whole entry that matters to the entries after it.
    """

    length: int = 0
    digest: bytes = b""
    listed: Listed = field(default_factory=Listed)
    clock: datetime | None = None
    closed: bool = False

    def begins(self, text: str) -> bool:
        """Whether it is a reading of the text's beginning."""
        return len(text) >= self.length and self.digest == _digest(text[: self.length])

    def extended(self, text: str, end: int, *, folder_url: str) -> Reading:
        """The reading of the text's first `end` characters, of which this is the beginning. Raises what m3u8 raises."""
        if end == self.length:
            return self
        clock = f"#EXT-X-PROGRAM-DATE-TIME:{self.clock.isoformat()}\n" if self.clock else ""
        parsed = m3u8.parse(clock + text[self.length : end])
        entries = parsed["segments"]
        last = entries[-1] if entries else {}
        moment = last.get("current_program_date_time")
        return Reading(
            length=end,
            digest=_digest(text[:end]),
            listed=self.listed.and_also(entries, folder_url=folder_url) if entries else self.listed,
            clock=moment + timedelta(seconds=last["duration"]) if moment else self.clock,
            closed=self.closed or parsed["is_endlist"],
        )


class Readings:
    """The last reading of each playlist, by its address. Safe for several threads."""

    def __init__(self) -> None:
        self._settled: OrderedDict[str, Reading] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, text: str, *, url: str) -> Reading:
        """Read a playlist. Raises what m3u8 raises (it has no one kind of error), and then remembers nothing new."""
        with self._lock:
            settled = self._settled.get(url)
        if settled is None or not settled.begins(text):
            settled = Reading()
        folder_url = url.rsplit("/", 1)[0]
        settled = settled.extended(text, max(settled.length, _settled_length(text)), folder_url=folder_url)
        whole = settled.extended(text, len(text), folder_url=folder_url)
        with self._lock:
            self._settled[url] = settled
            self._settled.move_to_end(url)
            while len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)
        return whole


def segment_name(index: int) -> str:
    """What a node calls a segment."""
    return f"live{index:03d}.ts"


def _settled_length(text: str) -> int:
    """Where the last whole entry ends; the very last may be half written, and then it is the one before."""
    start = len(text)
    for _ in range(2):
        start = text.rfind("\n#EXTINF:", 0, start)
        if start < 0:
            break
        if entry := _WHOLE_ENTRY.match(text, start + 1):
            return entry.end()
    return 0


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", errors="surrogatepass"), digest_size=16).digest()
