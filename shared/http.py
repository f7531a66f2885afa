"""Reading from the web as every wing does it: bounded in time and size, retried with jitter, never twice for nothing.

Attempts are few and a request in all is bounded, because what calls this is itself tried again (the next poll, the
queue), and must not wait for one server while others have something to say.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from urllib.parse import urlsplit

import requests
import stamina
from requests.adapters import HTTPAdapter
from urllib3.exceptions import DecodeError, HTTPError

from shared.errors import StreamError, StreamNotFound, StreamUnreachable

_NOT_THERE = frozenset({403, 404, 410})  # S3 answers 403 for a missing object to whoever may not list
_WHOLE = frozenset({200, 304})
_PARTS = frozenset({206, 416})
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK_BYTES = 64 * 1024
_REMEMBERED_BYTES = 128 * 1024 * 1024  # two hundred hydrophones' playlists of a whole day are 54 MB
_WORTH_A_PART_BYTES = 8 * 1024
_OVERLAP_BYTES = 256
_HOSTS = 16
_CONNECTIONS_PER_HOST = 64  # more than all threads of the process ask for at once


@dataclass(frozen=True)
class HttpLimits:
    """How long, and how often.

    Seconds to wait for a connection and between bytes; attempts, and the longest pause between two; and seconds for one
    request in all, attempts and pauses included, so that a server that trickles holds nobody for ever.
    """

    connect_timeout_s: float = 4.0
    read_timeout_s: float = 8.0
    attempts: int = 3
    max_pause_s: float = 2.0
    total_timeout_s: float = 60.0


@dataclass(frozen=True)
class _Remembered:
    etag: str | None
    modified: str | None
    body: bytes


class Http:
    """A client for public streams. Safe to share between threads, which share its connections too."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self._limits = limits or HttpLimits()
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "haro (+https://github.com/orcasound)"
        # Cookies are all that threads could get at odds about, and a public bucket needs none.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(_HOSTS, _CONNECTIONS_PER_HOST))
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._remembered_bytes = 0
        self._lock = threading.Lock()

    def get(self, url: str, *, max_bytes: int) -> bytes:
        """The object's bytes.

        Raises:
            StreamNotFound: the server says it is not there.
            StreamUnreachable: no answer or a passing fault, on every attempt.
            StreamError: any other answer, or more than `max_bytes`.
        """
        return self._retried(url, headers={}, max_bytes=max_bytes)[1]

    def get_fresh(self, url: str, *, max_bytes: int) -> bytes:
        """As `get`, for small objects asked for again and again: what has not changed is not sent anew."""
        known = self._recalled(url)
        response, body = self._retried(url, headers=_unless_known(known), max_bytes=max_bytes)
        return self._noted(url, response, body, known)

    def get_grown(self, url: str, *, max_bytes: int) -> bytes:
        """As `get_fresh`, for objects that grow at their end: of what is new since, only that is sent.

        The part asked for begins a little before the end of what is remembered. If it does not begin with the same
        bytes, or the server has no such part, the whole is fetched.
        """
        known = self._recalled(url)
        if known is None or len(known.body) < _WORTH_A_PART_BYTES:
            return self.get_fresh(url, max_bytes=max_bytes)
        start = len(known.body) - _OVERLAP_BYTES
        part = {"Range": f"bytes={start}-", "Accept-Encoding": "identity"}
        response, body = self._retried(url, headers=_unless_known(known) | part, max_bytes=max_bytes)
        if response.status_code == requests.codes.partial_content:
            if not body.startswith(known.body[start:]):
                return self._whole(url, max_bytes)
            body = known.body[:start] + body
            if len(body) > max_bytes:
                raise _too_large(url, max_bytes)
        elif response.status_code == requests.codes.requested_range_not_satisfiable:
            return self._whole(url, max_bytes)
        return self._noted(url, response, body, known)

    def _whole(self, url: str, max_bytes: int) -> bytes:
        response, body = self._retried(url, headers=_unless_known(None), max_bytes=max_bytes)
        return self._noted(url, response, body, None)

    def _recalled(self, url: str) -> _Remembered | None:
        with self._lock:
            if url in self._remembered:
                self._remembered.move_to_end(url)
            return self._remembered.get(url)

    def _noted(self, url: str, response: requests.Response, body: bytes, known: _Remembered | None) -> bytes:
        """The object as it is now, remembered."""
        if response.status_code == requests.codes.not_modified and known:
            return known.body
        now = _Remembered(response.headers.get("ETag"), response.headers.get("Last-Modified"), body)
        with self._lock:
            before = self._remembered.pop(url, None)
            self._remembered[url] = now
            self._remembered_bytes += len(body) - len(before.body if before else b"")
            while self._remembered_bytes > _REMEMBERED_BYTES:
                self._remembered_bytes -= len(self._remembered.popitem(last=False)[1].body)
        return body

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def _retried(self, url: str, *, headers: dict[str, str], max_bytes: int) -> tuple[requests.Response, bytes]:
        deadline = monotonic() + self._limits.total_timeout_s
        for attempt in stamina.retry_context(
            on=StreamUnreachable,
            attempts=self._limits.attempts,
            timeout=self._limits.total_timeout_s,
            wait_initial=0.2,
            wait_max=self._limits.max_pause_s,
            wait_jitter=0.5,
        ):
            with attempt:
                return self._once(url, headers=headers, max_bytes=max_bytes, deadline=deadline)
        raise AssertionError("stamina either returns or raises")

    def _once(
        self, url: str, *, headers: dict[str, str], max_bytes: int, deadline: float
    ) -> tuple[requests.Response, bytes]:
        timeout = (self._limits.connect_timeout_s, self._limits.read_timeout_s)
        try:
            with self._session.get(url, headers=headers, timeout=timeout, stream=True) as response:
                _check_status(response, url, allowed=_PARTS | _WHOLE if "Range" in headers else _WHOLE)
                return response, _read(response, url, max_bytes, deadline)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise StreamUnreachable(f"{shown(url)}: {_plain(error)}") from error
        except (requests.RequestException, DecodeError) as error:
            why = type(error).__name__  # the library's own message may quote the address, password and all
            raise StreamError(f"{shown(url)}: cannot be fetched ({why}). Check the address.") from error
        except HTTPError as error:  # what breaks while the body is read comes from the layer below
            raise StreamUnreachable(f"{shown(url)}: {_plain(error)}") from error


def shown(url: str) -> str:
    """The address as logs and errors may show it: without what may be a password or a signature."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    place = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{place}{parts.path}{'?...' if parts.query else ''}"


def _unless_known(known: _Remembered | None) -> dict[str, str]:
    """Headers that ask for the object unless it is still what is remembered."""
    headers = {"Cache-Control": "no-cache"}
    if known and known.etag:
        headers["If-None-Match"] = known.etag
    elif known and known.modified:
        headers["If-Modified-Since"] = known.modified
    return headers


def _check_status(response: requests.Response, url: str, *, allowed: frozenset[int]) -> None:
    status = response.status_code
    if status in _NOT_THERE:
        raise StreamNotFound(f"{shown(url)}: the server says it is not there (HTTP {status})")
    if status in _PASSING:
        raise StreamUnreachable(f"{shown(url)}: the server has a passing fault (HTTP {status})")
    if status not in allowed:
        raise StreamError(f"{shown(url)}: unexpected answer (HTTP {status}). Check the address.")


def _read(response: requests.Response, url: str, max_bytes: int, deadline: float) -> bytes:
    body = bytearray()
    # `read1` returns with what has come, where the library's `iter_content` would wait for a whole chunk.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(url, max_bytes)
        if monotonic() > deadline:
            raise StreamUnreachable(f"{shown(url)}: comes so slowly that it was given up after {len(body)} bytes")
    return bytes(body)


def _too_large(url: str, max_bytes: int) -> StreamError:
    return StreamError(f"{shown(url)}: larger than the limit of {max_bytes} bytes")


def _plain(error: Exception) -> str:
    """What went wrong in a few words: the library's own message repeats the address and its object ids."""
    text = str(error).lower()
    reasons = (
        ("name or service not known", "the host name cannot be resolved (is there a network?)"),
        ("failed to resolve", "the host name cannot be resolved (is there a network?)"),
        ("temporary failure in name resolution", "the host name cannot be resolved (is there a network?)"),
        ("network is unreachable", "there is no network"),
        ("connection refused", "the server refuses connections"),
        ("incompleteread", "the answer was cut short"),
        ("timed out", "no answer in time"),
        ("timeout", "no answer in time"),
        ("certificate", "the server's certificate is not trusted"),
    )
    return next((plain for mark, plain in reasons if mark in text), "the connection broke")
