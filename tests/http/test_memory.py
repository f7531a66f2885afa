"""What is read again and again is remembered: only what changed or grew is sent anew."""

from __future__ import annotations

import socket
import threading

import pytest

from shared.demo.station import Station
from shared.errors import StreamError, StreamNotFound
from shared.http import Http
from tests.http.client import KEY, statuses
from tests.http.raw_server import server


def test_what_has_not_changed_is_not_sent_anew(station: Station, http: Http) -> None:
    """A second fresh read asks conditionally and returns what it remembers; a change is seen at once."""
    station.put(KEY, b"1700000000")
    url = f"{station.url}/{KEY}"

    assert [http.get_fresh(url, max_bytes=100) for _ in range(3)] == [b"1700000000"] * 3
    station.put(KEY, b"1700021600")
    assert http.get_fresh(url, max_bytes=100) == b"1700021600"
    assert http.get_fresh(url, max_bytes=100) == b"1700021600"
    assert statuses(station) == [200, 304, 304, 200, 304]


def playlist(segments: int) -> bytes:
    """A playlist of about 28 bytes a segment."""
    return b"".join(b"#EXTINF:10.005333,\nlive%03d.ts\n" % index for index in range(segments))


def test_of_what_grew_only_the_new_end_is_sent(station: Station, http: Http) -> None:
    """A playlist that grows comes in parts after the first time, and is whole each time; one that did not, not."""
    url = f"{station.url}/{KEY}"
    for segments in (500, 501, 501, 600):
        station.put(KEY, playlist(segments))
        assert http.get_grown(url, max_bytes=100_000) == playlist(segments)

    assert statuses(station) == [200, 206, 304, 206]


@pytest.mark.parametrize(
    ("after", "answers"),
    [
        (playlist(600)[7:], [200, 206, 200]),
        (playlist(490) + b"#EXT-X-ENDLIST\n" + playlist(100), [200, 206, 200]),
        (playlist(3), [200, 416, 200]),
        (b"", [200, 416, 200]),
    ],
    ids=["beginning gone", "end rewritten", "shrunk", "emptied"],
)
def test_what_did_not_just_grow_is_sent_whole(station: Station, http: Http, after: bytes, answers: list[int]) -> None:
    """Where the part does not join on to what is remembered, the whole is fetched, and growth begins from there."""
    url = f"{station.url}/{KEY}"
    station.put(KEY, playlist(500))
    http.get_grown(url, max_bytes=100_000)
    station.put(KEY, after)

    assert http.get_grown(url, max_bytes=100_000) == after
    assert statuses(station) == answers


def test_small_objects_are_not_worth_a_part(station: Station, http: Http) -> None:
    """Below 8 KB the whole is asked for."""
    for segments in (50, 51):
        station.put(KEY, playlist(segments))
        assert http.get_grown(f"{station.url}/{KEY}", max_bytes=100_000) == playlist(segments)

    assert statuses(station) == [200, 200]


@pytest.mark.parametrize(
    "head",
    [b"200 OK\r\n", b"206 Partial Content\r\nContent-Range: bytes 0-9/10\r\n", b"206 Partial Content\r\n"],
    ids=["ignores ranges", "another range", "does not say which"],
)
def test_servers_that_give_no_parts_are_understood(http: Http, head: bytes) -> None:
    """Whatever a server makes of a range, what comes back is the whole object."""
    bodies: list[bytes] = []

    def answer(connection: socket.socket, _: threading.Event) -> None:
        bodies.append(playlist(500 + len(bodies)))
        first = head if len(bodies) == 2 else b"200 OK\r\n"  # the second request is the first for a part
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(bodies[-1])
        connection.sendall(b"HTTP/1.1 " + first + length + bodies[-1])

    with server(answer) as plain:
        for _ in range(2):
            assert http.get_grown(plain.url, max_bytes=100_000) == bodies[-1]


def test_growth_beyond_the_limit_is_refused(station: Station, http: Http) -> None:
    """The limit is on the whole object, however small the new part is."""
    url = f"{station.url}/{KEY}"
    station.put(KEY, playlist(500))
    http.get_grown(url, max_bytes=len(playlist(500)))
    station.put(KEY, playlist(501))

    with pytest.raises(StreamError, match="larger than the limit"):
        http.get_grown(url, max_bytes=len(playlist(500)))


def test_what_is_remembered_has_a_limit(station: Station, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many bytes the object that was not asked for longest is forgotten, and sent anew."""
    monkeypatch.setattr("shared.http._REMEMBERED_BYTES", 2500)
    for name in "abc":
        station.put(name, name.encode() * 1000)
    for name in "abacab":
        http.get_fresh(f"{station.url}/{name}", max_bytes=1000)

    assert statuses(station) == [200, 200, 304, 200, 304, 200]


def test_what_changes_counts_once_towards_the_limit(
    station: Station, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that is remembered anew with each change does not push out the others."""
    monkeypatch.setattr("shared.http._REMEMBERED_BYTES", 2500)
    station.put("b", b"b" * 1000)
    http.get_fresh(f"{station.url}/b", max_bytes=1000)
    for change in (b"1", b"2", b"3"):
        station.put("a", change * 1000)
        http.get_fresh(f"{station.url}/a", max_bytes=1000)
    http.get_fresh(f"{station.url}/b", max_bytes=1000)

    assert statuses(station) == [200, 200, 200, 200, 304]


def test_a_plain_read_is_never_conditional(station: Station, http: Http) -> None:
    """Only what is asked for again and again is remembered: segments are not."""
    station.put(KEY, b"1700000000")

    http.get_fresh(f"{station.url}/{KEY}", max_bytes=100)
    http.get(f"{station.url}/{KEY}", max_bytes=100)
    assert statuses(station) == [200, 200]


def test_a_fault_between_two_reads_forgets_nothing(station: Station, http: Http) -> None:
    """After faults, and after an object was away, what comes back is told right."""
    station.put(KEY, b"1700000000")
    url = f"{station.url}/{KEY}"
    http.get_fresh(url, max_bytes=100)
    station.fail(KEY, 503, times=1)
    assert http.get_fresh(url, max_bytes=100) == b"1700000000"
    station.remove(KEY)
    with pytest.raises(StreamNotFound):
        http.get_fresh(url, max_bytes=100)
    station.put(KEY, b"1700000000")

    assert http.get_fresh(url, max_bytes=100) == b"1700000000"
    assert statuses(station) == [200, 503, 304, 404, 304]
