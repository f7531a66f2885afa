"""Reading from the web as every wing does it: bounded in time and size, retried with jitter, never twice for nothing.

Time limits are per attempt; attempts are few, because what calls this is itself tried again (the next poll, the queue).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import requests
import stamina

from shared.errors import StreamError, StreamNotFound, StreamUnreachable

_NOT_THERE = frozenset({403, 404, 410})  # S3 answers 403 for a missing object to whoever may not list
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_CHUNK_BYTES = 64 * 1024
_REMEMBERED = 256


@dataclass(frozen=True)
class HttpLimits:
    """Seconds to wait for a connection and between bytes, attempts in all, and the longest pause between two."""

    connect_timeout_s: float = 4.0
    read_timeout_s: float = 8.0
    attempts: int = 3
    max_pause_s: float = 2.0


@dataclass(frozen=True)
class _Remembered:
    etag: str | None
    modified: str | None
    body: bytes


class Http:
    """A client for public streams. Safe to share between threads: each thread keeps connections of its own."""

    def __init__(self, limits: HttpLimits | None = None) -> None:
        self._limits = limits or HttpLimits()
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
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
        with self._lock:
            known = self._remembered.get(url)
        headers = {"Cache-Control": "no-cache"}
        if known and known.etag:
            headers["If-None-Match"] = known.etag
        elif known and known.modified:
            headers["If-Modified-Since"] = known.modified
        response, body = self._retried(url, headers=headers, max_bytes=max_bytes)
        if response.status_code == requests.codes.not_modified and known:
            return known.body
        with self._lock:
            self._remembered[url] = _Remembered(
                response.headers.get("ETag"), response.headers.get("Last-Modified"), body
            )
            self._remembered.move_to_end(url)
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return body

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()
        self._local = threading.local()

    def _retried(self, url: str, *, headers: dict[str, str], max_bytes: int) -> tuple[requests.Response, bytes]:
        for attempt in stamina.retry_context(
            on=StreamUnreachable,
            attempts=self._limits.attempts,
            timeout=None,
            wait_initial=0.2,
            wait_max=self._limits.max_pause_s,
            wait_jitter=0.5,
        ):
            with attempt:
                return self._once(url, headers=headers, max_bytes=max_bytes)
        raise AssertionError("stamina either returns or raises")

    def _once(self, url: str, *, headers: dict[str, str], max_bytes: int) -> tuple[requests.Response, bytes]:
        timeout = (self._limits.connect_timeout_s, self._limits.read_timeout_s)
        try:
            with self._session().get(url, headers=headers, timeout=timeout, stream=True) as response:
                _check_status(response, url)
                return response, _read(response, url, max_bytes)
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise StreamUnreachable(f"{url}: {_plain(error)}") from error
        except requests.RequestException as error:
            raise StreamError(f"{url}: cannot be fetched: {error}. Check the address.") from error

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["User-Agent"] = "haro (+https://github.com/orcasound)"
            with self._lock:
                self._sessions.append(session)
        return session


def _check_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status in _NOT_THERE:
        raise StreamNotFound(f"{url}: the server says it is not there (HTTP {status})")
    if status in _PASSING:
        raise StreamUnreachable(f"{url}: the server has a passing fault (HTTP {status})")
    if status not in {requests.codes.ok, requests.codes.not_modified}:
        raise StreamError(f"{url}: unexpected answer (HTTP {status}). Check the address.")


def _read(response: requests.Response, url: str, max_bytes: int) -> bytes:
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise StreamError(f"{url}: larger than the limit of {max_bytes} bytes")
    promised = response.headers.get("Content-Length")
    encoded = response.headers.get("Content-Encoding")
    if promised is not None and not encoded and promised.isdigit() and len(body) < int(promised):
        raise StreamUnreachable(f"{url}: cut short after {len(body)} of {promised} bytes")
    return bytes(body)


def _plain(error: Exception) -> str:
    """What went wrong in a few words: the library's own message repeats the address and its object ids."""
    text = str(error).lower()
    reasons = (
        ("name or service not known", "the host name cannot be resolved (is there a network?)"),
        ("failed to resolve", "the host name cannot be resolved (is there a network?)"),
        ("temporary failure in name resolution", "the host name cannot be resolved (is there a network?)"),
        ("network is unreachable", "there is no network"),
        ("connection refused", "the server refuses connections"),
        ("timed out", "no answer in time"),
        ("timeout", "no answer in time"),
        ("certificate", "the server's certificate is not trusted"),
    )
    return next((plain for mark, plain in reasons if mark in text), "the connection broke")
