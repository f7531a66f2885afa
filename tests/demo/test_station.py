"""The loopback bucket: objects, conditional requests, listings, faults, and a clean end."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest
import requests

from shared.demo.station import BUCKET, Request, Station

S3 = "{http://s3.amazonaws.com/doc/2006-03-01/}"
MOMENT = datetime(2026, 5, 1, 12, 0, 0, 400_000, tzinfo=UTC)


@pytest.fixture
def station() -> Iterator[Station]:
    """A station whose clock stands still."""
    with Station(clock=lambda: MOMENT) as station:
        yield station


@pytest.fixture
def web() -> Iterator[requests.Session]:
    """A client that keeps its connection."""
    with requests.Session() as session:
        yield session


def listing(web: requests.Session, station: Station, **query: str | int) -> ET.Element:
    """The parsed answer to a listing."""
    answer = web.get(f"{station.url}/", params={"list-type": "2", **query}, timeout=5)
    assert answer.status_code == 200
    return ET.fromstring(answer.content)  # noqa: S314 - our own server wrote it


def texts(root: ET.Element, path: str) -> list[str]:
    """The texts of all elements at a path, each step in S3's namespace."""
    return [element.text or "" for element in root.findall("/".join(S3 + step for step in path.split("/")))]


def test_an_object_is_served_with_its_validators(station: Station, web: requests.Session) -> None:
    """GET gives the bytes, ETag and Last-Modified; HEAD the same without bytes; anything else is 404."""
    station.put("rpi_a/latest.txt", b"1700000000\n")

    answer = web.get(f"{station.url}/rpi_a/latest.txt", timeout=5)
    head = web.head(f"{station.url}/rpi_a/latest.txt", timeout=5)

    assert (answer.status_code, answer.content) == (200, b"1700000000\n")
    assert answer.headers["Last-Modified"] == "Fri, 01 May 2026 12:00:00 GMT"
    assert (head.status_code, head.content, head.headers["ETag"]) == (200, b"", answer.headers["ETag"])
    assert head.headers["Content-Length"] == "11"
    assert web.get(f"{station.url}/rpi_b/latest.txt", timeout=5).status_code == 404
    assert web.get(station.url.replace(BUCKET, "other-bucket") + "/rpi_a/latest.txt", timeout=5).status_code == 404


def test_an_unchanged_object_is_not_sent_again(station: Station, web: requests.Session) -> None:
    """304 for a matching ETag or date; 200 once the object changed, even when only the ETag tells."""
    url = f"{station.url}/a"
    station.put("a", b"one")
    first = web.get(url, timeout=5)
    by_etag = {"If-None-Match": first.headers["ETag"]}
    by_date = {"If-Modified-Since": first.headers["Last-Modified"]}

    assert [web.get(url, headers=headers, timeout=5).status_code for headers in (by_etag, by_date)] == [304, 304]
    station.put("a", b"two")
    assert web.get(url, headers=by_etag | by_date, timeout=5).content == b"two"
    station.remove("a")
    assert web.get(url, headers=by_etag, timeout=5).status_code == 404


def test_one_connection_serves_many_requests(station: Station) -> None:
    """HTTP/1.1 keep-alive: bodies, errors and 304 answers leave the connection usable."""
    station.put("a", b"hello")
    connection = http.client.HTTPConnection(urlsplit(station.url).netloc, timeout=5)
    sockets = set()
    for path, headers in (
        ("a", {}),
        ("b", {}),
        ("a", {"If-Modified-Since": "Sat, 02 May 2026 12:00:00 GMT"}),
        ("a", {}),
    ):
        connection.request("GET", f"/{BUCKET}/{path}", headers=headers)
        connection.getresponse().read()
        sockets.add(connection.sock)
    connection.close()

    assert len(sockets) == 1
    assert [request.status for request in station.requests] == [200, 404, 304, 200]


def test_folders_are_listed_as_common_prefixes_page_by_page(station: Station, web: requests.Session) -> None:
    """Continuation tokens lead through all folders once, in order; keys beneath them count for one prefix."""
    epochs = [1_700_000_000 + 86_400 * day for day in range(7)]
    for epoch in epochs:
        for name in ("live.m3u8", "live000.ts"):
            station.put(f"rpi_a/hls/{epoch}/{name}", b"x")
    station.put("rpi_a/latest.txt", b"x")
    station.put("rpi_b/hls/1/live.m3u8", b"x")

    query: dict[str, str | int] = {"prefix": "rpi_a/hls/", "delimiter": "/", "max-keys": 3}
    pages = [listing(web, station, **query)]
    while texts(pages[-1], "IsTruncated") == ["true"]:
        (token,) = texts(pages[-1], "NextContinuationToken")
        pages.append(listing(web, station, **query, **{"continuation-token": token}))

    found = [prefix for page in pages for prefix in texts(page, "CommonPrefixes/Prefix")]
    assert found == [f"rpi_a/hls/{epoch}/" for epoch in epochs]
    assert [texts(page, "KeyCount") for page in pages] == [["3"], ["3"], ["1"]]
    assert texts(pages[0], "Contents/Key") == []


def test_keys_are_listed_with_size_and_time(station: Station, web: requests.Session) -> None:
    """A listing of one key shows it with its size and moment: how OrcaHello asks whether a playlist exists."""
    station.put("rpi_a/hls/17/live.m3u8", b"12345")

    there = listing(web, station, prefix="rpi_a/hls/17/live.m3u8", **{"max-keys": 1})
    absent = listing(web, station, prefix="rpi_a/hls/18/live.m3u8", **{"max-keys": 1})

    assert texts(there, "Contents/Key") == ["rpi_a/hls/17/live.m3u8"]
    assert texts(there, "Contents/Size") == ["5"]
    assert texts(there, "Contents/LastModified") == ["2026-05-01T12:00:00.000Z"]
    assert (texts(there, "KeyCount"), texts(absent, "KeyCount")) == (["1"], ["0"])


def test_start_after_skips_what_comes_before(station: Station, web: requests.Session) -> None:
    """`start-after` leaves out keys up to and including the one named."""
    for name in "abcd":
        station.put(name, b"x")

    assert texts(listing(web, station, **{"start-after": "b"}), "Contents/Key") == ["c", "d"]


@pytest.mark.parametrize("query", ["list-type=1", "list-type=2&max-keys=many", "list-type=2&continuation-token=!"])
def test_a_wrong_listing_is_a_400(station: Station, web: requests.Session, query: str) -> None:
    """What S3 would refuse is refused."""
    assert web.get(f"{station.url}/?{query}", timeout=5).status_code == 400


def test_failures_last_as_many_requests_as_asked(station: Station, web: requests.Session) -> None:
    """Two 503 with Retry-After, then the object; other keys never notice."""
    station.put("rpi_a/x.ts", b"x")
    station.put("rpi_b/x.ts", b"x")
    station.fail("rpi_a/*", 503, times=2, retry_after_s=7)

    answers = [web.get(f"{station.url}/rpi_a/x.ts", timeout=5) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert web.get(f"{station.url}/rpi_b/x.ts", timeout=5).status_code == 200
    assert station.requests[0] == Request("GET", "rpi_a/x.ts", 503)


def test_a_lasting_failure_ends_when_healed(station: Station, web: requests.Session) -> None:
    """`times=None` holds until `heal`, for listings as for objects."""
    station.fail("[?]*", 500, times=None)
    url = f"{station.url}/?list-type=2"

    before = [web.get(url, timeout=5).status_code for _ in range(3)]
    station.heal()

    assert before == [500, 500, 500]
    assert web.get(url, timeout=5).status_code == 200


def test_a_body_cut_short_breaks_the_promise_of_its_length(station: Station, web: requests.Session) -> None:
    """The client sees fewer bytes than Content-Length, once."""
    station.put("a", b"x" * 1000)
    station.cut("a", 100)

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        web.get(f"{station.url}/a", timeout=5)
    assert len(web.get(f"{station.url}/a", timeout=5).content) == 1000


def test_another_body_is_sent_in_place_of_the_object(station: Station, web: requests.Session) -> None:
    """A half-written playlist is answered once, without the validators of the whole one."""
    station.put("live.m3u8", b"#EXTM3U\nwhole")
    station.answer("live.m3u8", b"#EXTM3")

    half, whole = (web.get(f"{station.url}/live.m3u8", timeout=5) for _ in range(2))

    assert half.content == b"#EXTM3"
    assert "ETag" not in half.headers
    assert whole.content == b"#EXTM3U\nwhole"


def test_a_stalled_answer_never_comes(station: Station, web: requests.Session) -> None:
    """The client runs into its own timeout; the next request is served."""
    station.put("a", b"x")
    station.stall("a", 60)

    with pytest.raises(requests.exceptions.ReadTimeout):
        web.get(f"{station.url}/a", timeout=0.2)
    assert web.get(f"{station.url}/a", timeout=5).content == b"x"


def test_closing_ends_stalls_and_idle_connections() -> None:
    """No thread outlives the station, though one client idles on its connection and another waits for an answer."""
    before = threading.active_count()
    station = Station()
    station.put("a", b"x")
    station.stall("slow", 600)
    idle, waiting = (http.client.HTTPConnection(urlsplit(station.url).netloc, timeout=5) for _ in range(2))
    idle.request("GET", f"/{BUCKET}/a")
    idle.getresponse().read()
    waiting.request("GET", f"/{BUCKET}/slow")
    while station._state.faults[0].left:
        time.sleep(0.001)

    station.close()

    with pytest.raises(ConnectionError):
        waiting.getresponse()
    idle.close()
    waiting.close()
    assert threading.active_count() == before
