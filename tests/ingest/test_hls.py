"""Reading playlists, listings and latest.txt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PlaylistError
from shared.ingest.hls import folder_start_utc, parse_listing, parse_playlist
from tests.ingest.sea import EPOCH, FakeNode

URL = f"https://bucket.example/node/hls/{EPOCH}/live.m3u8"
durations = st.lists(st.sampled_from([10.005333, 9.984, 10.0]), min_size=1, max_size=60)


def playlist_text(lengths_s: list[float]) -> str:
    """A playlist of segments of these lengths."""
    return FakeNode(durations_s={EPOCH: lengths_s}).text(EPOCH)


@given(durations)
def test_start_is_epoch_plus_two_seconds_plus_unrounded_lengths(lengths_s: list[float]) -> None:
    """Every segment starts at the folder's epoch + 2.0 s + the sum of the EXTINF before it, to the microsecond."""
    playlist = parse_playlist(playlist_text(lengths_s), epoch=EPOCH, url=URL)

    for segment in playlist.segments:
        expected_s = EPOCH + 2.0 + sum(lengths_s[: segment.index])
        assert segment.start_utc.timestamp() == pytest.approx(expected_s, abs=2e-6)
    assert playlist.time_source == "folder_epoch"


@given(durations, st.integers(min_value=0))
def test_half_written_playlist_lists_only_whole_entries(lengths_s: list[float], cut_at: int) -> None:
    """Cut off at any byte, a playlist yields a leading part of the very same segments."""
    text = playlist_text(lengths_s)
    whole = parse_playlist(text, epoch=EPOCH, url=URL)

    half = parse_playlist(text[: cut_at % (len(text) + 1)], epoch=EPOCH, url=URL)

    assert tuple(half.segments) == whole.segments[: len(half.segments)]


def test_program_date_time_wins_over_the_folder_name() -> None:
    """Where the node stamps EXT-X-PROGRAM-DATE-TIME, that is the segment's start."""
    text = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n"
        "#EXT-X-PROGRAM-DATE-TIME:2024-06-07T00:00:21.500-07:00\n#EXTINF:10.0,\nlive000.ts\n"
        "#EXTINF:10.0,\nlive001.ts\n"
    )

    playlist = parse_playlist(text, epoch=EPOCH, url=URL)

    first = datetime(2024, 6, 7, 7, 0, 21, 500_000, tzinfo=UTC)
    assert [segment.start_utc for segment in playlist.segments] == [first, first + timedelta(seconds=10)]
    assert playlist.time_source == "program_date_time"


def test_list_that_lost_its_beginning_carries_known_time_forward() -> None:
    """A sliding window takes its times from the last segment known, not from the folder's start."""
    text = "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:10.0,\nlive007.ts\n#EXTINF:10.0,\nlive008.ts\n"
    known = datetime(2024, 6, 7, 8, 0, tzinfo=UTC)

    carried = parse_playlist(text, epoch=EPOCH, url=URL, known=(8, known))
    estimated = parse_playlist(text, epoch=EPOCH, url=URL)

    assert [s.start_utc for s in carried.segments] == [known - timedelta(seconds=10), known]
    assert carried.time_source == "carried_forward"
    assert estimated.segments[0].start_utc == folder_start_utc(EPOCH) + timedelta(seconds=70)
    assert estimated.time_source == "estimated"


def test_skipped_segment_keeps_its_place_in_time() -> None:
    """A segment the playlist does not list still takes up its time."""
    node = FakeNode(durations_s={EPOCH: [10.0] * 4}, skipped={EPOCH: {1}})

    playlist = parse_playlist(node.text(EPOCH), epoch=EPOCH, url=URL)

    starts = [(segment.start_utc - folder_start_utc(EPOCH)).total_seconds() for segment in playlist.segments]
    assert starts == [0.0, 20.0, 30.0]


def test_segment_addresses_resolve_against_the_playlist() -> None:
    """Relative and absolute addresses both work."""
    text = "#EXTM3U\n#EXTINF:10,\nlive000.ts\n#EXTINF:10,\nhttps://cdn.example/x/live001.ts\n"

    playlist = parse_playlist(text, epoch=EPOCH, url=URL)

    assert [segment.url for segment in playlist.segments] == [
        f"https://bucket.example/node/hls/{EPOCH}/live000.ts",
        "https://cdn.example/x/live001.ts",
    ]


@pytest.mark.parametrize("text", ["<html>captive portal</html>", "\x00\x01\x02", '{"error": 1}'])
def test_what_is_no_playlist_is_said_to_be_none(text: str) -> None:
    """A captive portal's page, binary rubbish or JSON is an error that names the address."""
    with pytest.raises(PlaylistError, match=r"live\.m3u8"):
        parse_playlist(text, epoch=EPOCH, url=URL)


def test_listing_gives_folders_and_the_next_page() -> None:
    """S3's XML yields the folders that are named after a unix time in seconds, and the token of the next page."""
    body = (
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated>'
        b"<NextContinuationToken>abc=</NextContinuationToken>"
        b"<CommonPrefixes><Prefix>n/hls/1717743618/</Prefix></CommonPrefixes>"
        b"<CommonPrefixes><Prefix>n/hls/1717743618000/</Prefix></CommonPrefixes>"
        b"<CommonPrefixes><Prefix>n/hls/old/</Prefix></CommonPrefixes></ListBucketResult>"
    )

    assert parse_listing(body, url=URL) == ([EPOCH], "abc=")


@pytest.mark.parametrize("body", [b"", b"not xml", b"<html></html>"])
def test_server_that_lists_nothing_is_told_apart(body: bytes) -> None:
    """A plain web server's answer to a listing is an error, not an empty bucket."""
    with pytest.raises(PlaylistError, match="list its folders"):
        parse_listing(body, url=URL)
