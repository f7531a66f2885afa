"""One client for all threads: connections, and nothing else, are shared, and `close` leaves none."""

from __future__ import annotations

import gc
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.demo.station import Station
from shared.http import Http
from tests.http.client import KEY, LIMITS
from tests.http.raw_server import server


def test_threads_share_one_client(station: Station, http: Http) -> None:
    """Two hundred reads from sixteen threads, with faults among them, each bring the bytes of their own address."""
    urls = {}
    for number in range(20):
        key = f"rpi_{number}/latest.txt"
        station.put(key, str(number).encode() * 1000)
        urls[f"{station.url}/{key}"] = str(number).encode() * 1000
    station.fail("rpi_1*/latest.txt", 503, times=LIMITS.attempts - 1)
    asked = [*urls] * 10

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda url: http.get_fresh(url, max_bytes=10_000), asked))
    assert answers == [urls[url] for url in asked]


def test_connections_outlive_the_threads_that_made_them(station: Station, http: Http) -> None:
    """Every poll has threads of its own: a hundred of them in turn leave one open connection, not a hundred."""
    station.put(KEY, b"1700000000")
    for _ in range(100):
        thread = threading.Thread(target=http.get_fresh, args=(f"{station.url}/{KEY}",), kwargs={"max_bytes": 100})
        thread.start()
        thread.join()

    assert len(station.requests) == 100
    assert len(station._server._connections) == 1


def test_no_cookie_is_kept(http: Http) -> None:
    """A server that hands out cookies gets none back: no state passes between threads."""

    def answer(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with server(answer) as baker:
        http.get(baker.url, max_bytes=100)
    assert not list(http._session.cookies)


def test_close_leaves_nothing_open(recwarn: pytest.WarningsRecorder) -> None:
    """`close` hangs up on the server, leaves the garbage collector nothing to complain about, and may come twice."""
    hung_up = threading.Event()

    def answer(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        if connection.recv(1) == b"":
            hung_up.set()

    with server(answer) as kept_alive:
        http = Http(LIMITS)
        assert http.get(kept_alive.url, max_bytes=100) == b"ok"
        assert not hung_up.is_set()
        http.close()
        http.close()
        assert hung_up.wait(60)
    del http
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []
