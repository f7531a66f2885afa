"""Reading from the web: bounded in time and size, retried when that may help, never twice for nothing."""

from __future__ import annotations

import gc
import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from shared.demo.station import Station
from shared.errors import StreamError, StreamNotFound, StreamUnreachable
from shared.http import Http, HttpLimits

KEY = "rpi_a/latest.txt"
QUICK = HttpLimits(connect_timeout_s=2.0, read_timeout_s=0.2, attempts=3, max_pause_s=0.01, total_timeout_s=10.0)


@pytest.fixture
def station() -> Iterator[Station]:
    """A server on loopback that fails on demand."""
    with Station() as server:
        yield server


@pytest.fixture
def http() -> Iterator[Http]:
    """A client with little patience."""
    client = Http(QUICK)
    yield client
    client.close()


def statuses(station: Station) -> list[int]:
    """The status of every answer so far; 0 is a request that was left without one."""
    return [request.status for request in station.requests]


@dataclass
class Served:
    """A server that speaks by hand: its address, and how many connections it took."""

    url: str
    connections: int = 0


@contextmanager
def server(answer: Callable[[socket.socket, threading.Event], None]) -> Iterator[Served]:
    """Answer each connection with `answer(socket, closing)` and hang up."""
    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = Served(f"http://127.0.0.1:{listener.getsockname()[1]}/x")

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    if closing.is_set():
                        return
                    seen.connections += 1
                    try:
                        connection.recv(4096)
                        answer(connection, closing)
                    except ConnectionError:
                        continue  # the client had enough

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield seen
        finally:
            closing.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join()


def test_the_bytes_come_as_they_are(station: Station, http: Http) -> None:
    """One request, and what it brings is what was published."""
    station.put(KEY, b"1700000000\n")

    assert http.get(f"{station.url}/{KEY}", max_bytes=100) == b"1700000000\n"
    assert statuses(station) == [200]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(station: Station, http: Http, status: int) -> None:
    """A fault of the server that may pass costs two more requests and nothing else."""
    station.put(KEY, b"1700000000")
    station.fail(KEY, status, times=2)

    assert http.get(f"{station.url}/{KEY}", max_bytes=100) == b"1700000000"
    assert statuses(station) == [status, status, 200]


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


def test_a_stalled_answer_is_tried_again(station: Station, http: Http) -> None:
    """A server that says nothing within the read timeout is left, and asked anew."""
    station.put(KEY, b"1700000000")
    station.stall(KEY, 30.0)

    assert http.get(f"{station.url}/{KEY}", max_bytes=100) == b"1700000000"


def test_silence_on_every_attempt_is_told(station: Station, http: Http) -> None:
    """Silence is called no answer in time, with the address."""
    station.stall(KEY, 30.0, times=None)

    with pytest.raises(StreamUnreachable, match=rf"^{station.url}/{KEY}: no answer in time$"):
        http.get(f"{station.url}/{KEY}", max_bytes=100)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_asked_for_once(station: Station, http: Http, status: int) -> None:
    """403, 404 and 410 mean not there, and asking again would not change it."""
    station.fail(KEY, status, times=None)

    with pytest.raises(StreamNotFound, match=rf"{KEY}: the server says it is not there \(HTTP {status}\)"):
        http.get(f"{station.url}/{KEY}", max_bytes=100)
    assert statuses(station) == [status]


def test_another_status_is_an_error_of_its_own(station: Station, http: Http) -> None:
    """A status that is neither missing nor passing is not tried again, and is neither of the two errors."""
    station.fail(KEY, 400, times=None)

    with pytest.raises(StreamError, match="HTTP 400") as caught:
        http.get(f"{station.url}/{KEY}", max_bytes=100)
    assert type(caught.value) is StreamError
    assert statuses(station) == [400]


def test_it_gives_up_after_so_many_attempts(station: Station) -> None:
    """Four attempts allowed are four requests made."""
    station.fail(KEY, 503, times=None)
    http = Http(HttpLimits(attempts=4, max_pause_s=0.01))

    with pytest.raises(StreamUnreachable, match=r"passing fault \(HTTP 503\)"):
        http.get(f"{station.url}/{KEY}", max_bytes=100)
    http.close()
    assert statuses(station) == [503] * 4


def test_a_refused_connection_is_a_plain_sentence(http: Http) -> None:
    """Nobody listening is said in words, without the library's object ids."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    with pytest.raises(StreamUnreachable) as caught:
        http.get(f"http://127.0.0.1:{port}/x", max_bytes=100)
    assert str(caught.value) == f"http://127.0.0.1:{port}/x: the server refuses connections"


def test_a_name_nobody_knows_is_a_plain_sentence(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that cannot be resolved points to the network, for that is what mostly fails."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(StreamUnreachable, match=r"the host name cannot be resolved \(is there a network\?\)$"):
        http.get("http://hydrophone.invalid/latest.txt", max_bytes=100)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://", "http://[::1/x"])
def test_an_address_that_is_none_is_told(http: Http, url: str) -> None:
    """What can never be fetched is a StreamError that says to check the address, at once."""
    with pytest.raises(StreamError, match="Check the address") as caught:
        http.get(url, max_bytes=100)
    assert type(caught.value) is StreamError


@pytest.mark.parametrize(
    "url", ["http://me:SESAME@127.0.0.1:1/x?sig=SESAME", "ftp://me:SESAME@host/x", "http://me:SESAME@[::1/x?SESAME"]
)
def test_no_password_in_an_address_is_shown(http: Http, url: str) -> None:
    """Whatever is wrong with it, an error shows an address without its password and signature."""
    with pytest.raises(StreamError) as caught:
        http.get(url, max_bytes=100)
    assert "SESAME" not in str(caught.value)


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
        assert chunked.connections == QUICK.attempts


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

    http = Http(HttpLimits(read_timeout_s=1.0, attempts=3, max_pause_s=0.01, total_timeout_s=0.3))
    with server(trickle) as slow:
        with pytest.raises(StreamUnreachable, match=r"comes so slowly that it was given up after \d+ bytes"):
            http.get(slow.url, max_bytes=100_000)
        assert slow.connections < 3, "the time is for all attempts together"
    http.close()


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


def test_a_part_nobody_asked_for_is_refused(http: Http) -> None:
    """A plain read that is answered with a part is an error: it would be taken for the whole."""
    head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"

    with (
        server(lambda connection, _: connection.sendall(head)) as odd,
        pytest.raises(StreamError, match=r"unexpected answer \(HTTP 206\)"),
    ):
        http.get(odd.url, max_bytes=100)


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


def test_threads_share_one_client(station: Station, http: Http) -> None:
    """Two hundred reads from sixteen threads, with faults among them, each bring the bytes of their own address."""
    urls = {}
    for number in range(20):
        key = f"rpi_{number}/latest.txt"
        station.put(key, str(number).encode() * 1000)
        urls[f"{station.url}/{key}"] = str(number).encode() * 1000
    station.fail("rpi_1*/latest.txt", 503, times=5)
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
        http = Http(QUICK)
        assert http.get(kept_alive.url, max_bytes=100) == b"ok"
        assert not hung_up.is_set()
        http.close()
        http.close()
        assert hung_up.wait(10)
    del http
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []
