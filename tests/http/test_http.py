"""Reading from the web: bounded in time, retried when that may help, never twice for nothing."""

from __future__ import annotations

import socket

import pytest

from shared.demo.station import Station
from shared.errors import StreamError, StreamNotFound, StreamUnreachable
from shared.http import Http, HttpLimits
from tests.http.client import KEY, statuses


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


def test_a_stalled_answer_is_tried_again(station: Station, hasty: Http) -> None:
    """A server that says nothing within the read timeout is left, and asked anew."""
    station.put(KEY, b"1700000000")
    station.stall(KEY, 30.0)

    assert hasty.get(f"{station.url}/{KEY}", max_bytes=100) == b"1700000000"


def test_silence_on_every_attempt_is_told(station: Station, hasty: Http) -> None:
    """Silence is called no answer in time, with the address."""
    station.stall(KEY, 30.0, times=None)

    with pytest.raises(StreamUnreachable, match=rf"^{station.url}/{KEY}: no answer in time$"):
        hasty.get(f"{station.url}/{KEY}", max_bytes=100)


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
