"""What a node publishes: latest.txt, growing playlists, restarts and broken segments."""

from __future__ import annotations

import m3u8
import requests

from shared.demo.encoder import EncodedSegment
from shared.demo.node import Node
from shared.demo.station import Station

EPOCH = 1_777_636_800
SEGMENTS = [EncodedSegment(index, 9.984 if index % 4 == 3 else 10.005333, bytes(188) * 50) for index in range(1001)]


def fetch(station: Station, key: str) -> requests.Response:
    """One object."""
    return requests.get(f"{station.url}/{key}", timeout=5)


def test_the_playlist_appears_with_the_first_segment_and_grows(station: Station) -> None:
    """latest.txt names the folder at once; the playlist lists every segment since the start, lengths unrounded."""
    node = Node(station, "rpi_a")
    node.start_folder(EPOCH)

    assert fetch(station, "rpi_a/latest.txt").text.strip() == str(EPOCH)
    assert fetch(station, node.playlist_key).status_code == 404
    for segment in SEGMENTS[:5]:
        node.add(segment)
    text = fetch(station, f"rpi_a/hls/{EPOCH}/live.m3u8").text

    playlist = m3u8.loads(text)
    assert [segment.uri for segment in playlist.segments] == [f"live00{n}.ts" for n in range(5)]
    assert [segment.duration for segment in playlist.segments] == [10.005333, 10.005333, 10.005333, 9.984, 10.005333]
    assert (playlist.target_duration, playlist.media_sequence, playlist.is_endlist) == (11, 0, False)
    assert "#EXTINF:10.005333,\n" in text
    assert "PROGRAM-DATE-TIME" not in text
    assert fetch(station, f"rpi_a/hls/{EPOCH}/live004.ts").content == SEGMENTS[4].data


def test_numbers_grow_beyond_three_digits(station: Station) -> None:
    """Segment 1000 is live1000.ts, as ffmpeg's %03d names it."""
    node = Node(station, "rpi_a")
    node.start_folder(EPOCH)

    assert [node.segment_key(n).rpartition("/")[2] for n in (7, 999, 1000)] == [
        "live007.ts",
        "live999.ts",
        "live1000.ts",
    ]


def test_a_restart_leaves_the_old_folder_as_it_was(station: Station) -> None:
    """The new folder counts from zero; the old playlist stays, without an end mark."""
    node = Node(station, "rpi_a")
    node.start_folder(EPOCH)
    node.add(SEGMENTS[0])
    old = node.playlist_key
    node.start_folder(EPOCH + 700)
    node.add(SEGMENTS[0])
    node.end()

    assert fetch(station, "rpi_a/latest.txt").text.strip() == str(EPOCH + 700)
    assert not m3u8.loads(fetch(station, old).text).is_endlist
    assert m3u8.loads(fetch(station, node.playlist_key).text).is_endlist
    assert old != node.playlist_key


def test_faulty_segments_are_listed_all_the_same(station: Station) -> None:
    """A missing one is 404, a corrupt one other bytes of the same length, a truncated one a tenth of itself."""
    node = Node(station, "rpi_a")
    node.start_folder(EPOCH)
    node.add(SEGMENTS[0], fault="missing")
    node.add(SEGMENTS[1], fault="corrupt")
    node.add(SEGMENTS[2], fault="truncated")

    missing, corrupt, truncated = (fetch(station, node.segment_key(n)) for n in range(3))

    assert len(m3u8.loads(fetch(station, node.playlist_key).text).segments) == 3
    assert missing.status_code == 404
    assert len(corrupt.content) == len(SEGMENTS[1].data)
    assert corrupt.content != SEGMENTS[1].data
    assert truncated.content == SEGMENTS[2].data[: len(SEGMENTS[2].data) // 10]


def test_program_date_time_is_epoch_plus_two_seconds_plus_what_came_before(station: Station) -> None:
    """Where a node states times, they agree with the folder rule of 2.0 s and the unrounded sum."""
    node = Node(station, "rpi_a", program_date_time=True)
    node.start_folder(EPOCH)
    for segment in SEGMENTS[:3]:
        node.add(segment)

    times = [segment.program_date_time for segment in m3u8.loads(node.playlist().decode()).segments]

    assert [round(time.timestamp() - EPOCH, 3) for time in times if time] == [2.0, 12.005, 22.011]


def test_a_playlist_can_be_had_as_it_was_before(station: Station) -> None:
    """`count` gives the playlist of fewer segments: what a shrinking playlist looks like."""
    node = Node(station, "rpi_a")
    node.start_folder(EPOCH)
    for segment in SEGMENTS[:4]:
        node.add(segment)
    station.answer(node.playlist_key, node.playlist(count=1))

    shrunk, whole = (m3u8.loads(fetch(station, node.playlist_key).text) for _ in range(2))

    assert (len(shrunk.segments), len(whole.segments)) == (1, 4)


def test_two_nodes_share_a_station(station: Station) -> None:
    """Each node's keys begin with its own name."""
    first, second = Node(station, "rpi_a"), Node(station, "rpi_b")
    first.start_folder(EPOCH)
    second.start_folder(EPOCH + 5)

    assert requests.get(f"{first.url}/latest.txt", timeout=5).text.strip() == str(EPOCH)
    assert requests.get(f"{second.url}/latest.txt", timeout=5).text.strip() == str(EPOCH + 5)
