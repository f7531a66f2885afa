"""Playlists read again as they grow: the same as if each were read for the first time."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime

import m3u8
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import PlaylistError
from shared.ingest import reading
from shared.ingest.hls import Playlist, parse_playlist
from shared.ingest.reading import Readings
from tests.ingest.sea import EPOCH, FakeNode

URL = f"https://bucket.example/node/hls/{EPOCH}/live.m3u8"
NEXT = "segment"  # where it stands in a drawn list of lines, the next index is listed

lines = st.sampled_from(
    [
        *[NEXT] * 8,
        "#EXTINF:10.005333,",
        "#EXTINF:9.984,a title",
        "#EXTINF:9.9,Zählung",
        "#EXTINF:ten,",
        "#EXTINF:-1,",
        "live001.ts",
        "live0004.ts",
        "LIVE7.TS?sig=1",
        "https://cdn.example/live002.ts",
        "live2000.ts",
        "rubbish",
        "",
        "#EXT-X-PROGRAM-DATE-TIME:2024-06-07T00:00:21.500-07:00",
        "#EXT-X-PROGRAM-DATE-TIME:2024-06-07T08:00:00",
        "#EXT-X-PROGRAM-DATE-TIME:9999-12-31T23:59:59Z",
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-MEDIA-SEQUENCE:7",
        "#EXT-X-TARGETDURATION:11",
        "#EXT-X-TARGETDURATION:eleven",
        "#EXT-X-ENDLIST",
        "#EXT-X-BYTERANGE:100@0",
        "#EXT-X-BITRATE:64",
        '#EXT-X-PART:DURATION=2.5,URI="part.ts"',
        "#EXT-X-STREAM-INF:BANDWIDTH=1",
        '#EXT-X-KEY:METHOD=AES-128,URI="key"',
        "# a comment",
    ]
)
ends = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\u2028"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A playlist with much in it that no node writes."""
    text, index = "#EXTM3U" + draw(ends), 0
    for line in draw(st.lists(lines, max_size=30)):
        if line == NEXT:
            dated = draw(st.booleans()) and index % 3 == 0
            between = f"#EXT-X-PROGRAM-DATE-TIME:2024-06-07T07:{index:02d}:00Z\n" if dated else ""
            text += f"#EXTINF:10.{index}5,\n{between}live{index:03d}.ts{draw(ends)}"
            index += 1
        else:
            text += line + draw(ends)
    return text


def outcome(text: str, readings: Readings | None = None) -> object:
    """What is read, in values that compare, or what went wrong."""
    try:
        playlist = parse_playlist(text, epoch=EPOCH, url=URL, known=(3, datetime.now(UTC)), readings=readings)
    except PlaylistError as error:
        return str(error)
    return seen(playlist)


def seen(playlist: Playlist) -> object:
    """A playlist in values that compare; where times are carried forward from now, without the times."""
    timeless = playlist.time_source == "carried_forward"
    segments = [segment.model_dump(exclude={"start_utc"} if timeless else set()) for segment in playlist.segments]
    return playlist.time_source, playlist.closed, segments


@settings(max_examples=400)
@given(texts(), st.lists(st.integers(0, 2000), max_size=5), texts())
def test_reading_on_equals_reading_anew(text: str, cuts: list[int], other: str) -> None:
    """After any earlier readings of it, torn ones and those of another text too, a playlist reads as if never seen."""
    readings = Readings()
    for version in [*(text[: cut % (len(text) + 1)] for cut in cuts), other, text, text, text + other[8:]]:
        assert outcome(version, readings) == outcome(version)


@settings(max_examples=400)
@given(texts())
def test_reading_in_two_pieces_equals_the_parser_alone(text: str) -> None:
    """What is listed is what the parser makes of the whole text at once, or fails where that fails."""
    try:
        parsed = m3u8.parse(text)
        expected: object = reading.Listed().and_also(parsed["segments"], folder_url=URL.rsplit("/", 1)[0])
        closed = parsed["is_endlist"]
    except (ValueError, LookupError, OverflowError) as error:
        with pytest.raises(type(error)):
            Readings().read(text, url=URL)
        return

    read = Readings().read(text, url=URL)

    assert (read.listed, read.closed) == (expected, closed)


def test_the_parser_sees_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day's playlist that grew by one segment costs the parser one entry; one that did not grow, none."""
    parsed: list[int] = []
    parse = m3u8.parse

    def counted(text: str) -> object:
        parsed.append(text.count("#EXTINF"))
        return parse(text)

    monkeypatch.setattr(m3u8, "parse", counted)
    node, readings = FakeNode(), Readings()
    node.grow(8639)
    last = []
    for grown in (0, 1, 0):
        node.grow(grown)
        last.append(parse_playlist(node.text(EPOCH), epoch=EPOCH, url=URL, readings=readings).last_index)

    assert last == [8638, 8639, 8639]
    assert parsed == [8639, 1]


def test_a_rewritten_beginning_is_read_anew() -> None:
    """A node that writes other lengths, or slides its window, is believed; what was remembered is not."""
    readings, node = Readings(), FakeNode()
    node.grow(20)
    parse_playlist(node.text(EPOCH), epoch=EPOCH, url=URL, readings=readings)
    node.durations_s[EPOCH][3] = 9.0
    node.skipped[EPOCH] = {0, 1}

    playlist = parse_playlist(node.text(EPOCH), epoch=EPOCH, url=URL, readings=readings)

    assert playlist.segments[1].duration_s == 9.0
    assert playlist.segments[0].index == 2


def test_a_failed_reading_leaves_the_earlier_one() -> None:
    """A tag that the parser stumbles over is an error each time, and no reason to forget what was read."""
    readings, node = Readings(), FakeNode()
    node.grow(5)
    good = node.text(EPOCH)

    assert outcome(good, readings) == outcome(good)
    assert "cannot be read" in str(outcome(good + "#EXTINF:ten,\nlive005.ts\n", readings))
    assert outcome(good, readings) == outcome(good)


def test_a_days_folder_is_remembered_in_little() -> None:
    """8640 segments take about 12 bytes each, so that two hundred such folders fit in 25 MB."""
    node, readings = FakeNode(), Readings()
    node.grow(8640)
    text = node.text(EPOCH)
    parse_playlist(text, epoch=EPOCH, url=URL, readings=readings)  # what is made once for all
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(2):
        parse_playlist(text, epoch=EPOCH, url=f"https://bucket.example/{number}/live.m3u8", readings=readings)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (after - before) / 2 < 8640 * 14


def test_no_more_folders_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that was not asked for longest is forgotten, and reads as well as ever."""
    monkeypatch.setattr(reading, "_REMEMBERED", 2)
    node, readings = FakeNode(), Readings()
    node.grow(3)
    for number in (1, 2, 1, 3):
        readings.read(node.text(EPOCH), url=f"https://bucket.example/{number}/live.m3u8")

    assert [url.split("/")[3] for url in readings._settled] == ["1", "3"]
    assert len(readings.read(node.text(EPOCH), url="https://bucket.example/2/live.m3u8").listed.indices) == 3


def test_entries_out_of_order_and_twice_are_put_right() -> None:
    """Segments are listed by index whatever the order of their lines; of two with one index the first counts."""
    text = (
        "#EXTM3U\n#EXTINF:10,\nlive002.ts\n#EXTINF:11,\nlive000.ts\n#EXTINF:12,\nlive002.ts\n#EXTINF:13,\nlive001.ts\n"
    )

    listed = Readings().read(text, url=URL).listed

    assert list(zip(listed.indices, listed.durations_s, strict=True)) == [(0, 11.0), (1, 13.0), (2, 10.0)]
