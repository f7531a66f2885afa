"""Bodies as servers send them: packed, in chunks, in parts, trickling, and never larger than asked for."""

from __future__ import annotations

import gzip
import socket
import threading
from dataclasses import replace

import pytest

from shared.demo.station import Station
from shared.errors import StreamError, StreamUnreachable
from shared.http import Http
from tests.http.client import KEY, LIMITS, statuses
from tests.http.raw_server import server


def test_a_cut_body_is_tried_again(station: Station, http: Http) -> None:
    """A body shorter than promised is never taken for the whole."""
    station.put(KEY, b"x" * 5000)
    station.cut(KEY, 3000)

    assert http.get(f"{station.url}/{KEY}", max_bytes=10_000) == b"x" * 5000
    assert statuses(station) == [200, 200]


def test_a_body_cut_every_time_is_told(station: Station, http: Http) -> None:
    """A server that always hangs up in the middle is given up, in plain words."""
    station.put(KEY, b"x" * 5000)
    station.cut(KEY, 3000, times=None)

    with pytest.raises(StreamUnreachable, match=r"latest\.txt: the answer was cut short$"):
        http.get(f"{station.url}/{KEY}", max_bytes=10_000)


def test_more_than_the_limit_is_refused(station: Station, http: Http) -> None:
    """A body of exactly `max_bytes` is taken; one byte more is an error, and not tried again."""
    station.put(KEY, b"x" * 1000)
    assert len(http.get(f"{station.url}/{KEY}", max_bytes=1000)) == 1000

    with pytest.raises(StreamError, match="larger than the limit of 999 bytes"):
        http.get(f"{station.url}/{KEY}", max_bytes=999)
    assert statuses(station) == [200, 200]


def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(http: Http) -> None:
    """The limit is on what is unpacked: a compressed bomb is left after `max_bytes`."""
    body = gzip.compress(bytes(20_000_000))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    with server(lambda connection, _: connection.sendall(head + body)) as packed:
        assert len(http.get(packed.url, max_bytes=20_000_000)) == 20_000_000
        with pytest.raises(StreamError, match="larger than the limit"):
            http.get(packed.url, max_bytes=1_000_000)


def test_a_body_in_chunks_is_read_whole(http: Http) -> None:
    """A server that does not say how long its answer is, is understood."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n17000\r\n5\r\n00000\r\n0\r\n\r\n"

    with server(lambda connection, _: connection.sendall(answer)) as chunked:
        assert http.get(chunked.url, max_bytes=100) == b"1700000000"


def test_chunks_that_break_off_are_not_the_whole(http: Http) -> None:
    """An answer in chunks without its end is a broken connection on every attempt."""
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n17000\r\n5\r\n00"

    with server(lambda connection, _: connection.sendall(answer)) as chunked:
        with pytest.raises(StreamUnreachable):
            http.get(chunked.url, max_bytes=100)
        assert chunked.connections == LIMITS.attempts


def test_garbled_compression_is_an_error_of_its_own(http: Http) -> None:
    """Bytes that are not what their header says are told at once."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n0123456789"

    with server(lambda connection, _: connection.sendall(answer)) as garbled:
        with pytest.raises(StreamError, match="cannot be fetched"):
            http.get(garbled.url, max_bytes=100)
        assert garbled.connections == 1


def test_a_trickling_server_holds_nobody_for_ever() -> None:
    """Bytes that come within the read timeout but never end are left after the time for the whole request."""

    def trickle(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not closing.wait(0.05):
            connection.sendall(b"x")

    http = Http(replace(LIMITS, total_timeout_s=0.3))
    with server(trickle) as slow:
        with pytest.raises(StreamUnreachable, match=r"comes so slowly that it was given up after \d+ bytes"):
            http.get(slow.url, max_bytes=100_000)
        assert slow.connections < 3, "the time is for all attempts together"
    http.close()


def test_a_part_nobody_asked_for_is_refused(http: Http) -> None:
    """A plain read that is answered with a part is an error: it would be taken for the whole."""
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"

    with (
        server(lambda connection, _: connection.sendall(head)) as odd,
        pytest.raises(StreamError, match=r"unexpected answer \(HTTP 206\)"),
    ):
        http.get(odd.url, max_bytes=100)
