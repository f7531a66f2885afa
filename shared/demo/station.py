"""A public bucket on loopback that answers as Orcasound's does, and fails on demand."""

from __future__ import annotations

import email.utils
import hashlib
import logging
import re
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.demo.listing import ListedObject, list_objects_v2

log = logging.getLogger(__name__)

BUCKET = "audio-orcasound-net"

_FROM = re.compile(
    r"bytes=(\d+)-"
)  # of all that Range may say, what Haro asks for; the rest is answered with the whole


@dataclass(frozen=True)
class Request:
    """One request the station answered: what was asked for (query included), and the status sent."""

    method: str
    key: str
    status: int


@dataclass(frozen=True)
class _Object:
    data: bytes
    etag: str
    modified_utc: datetime


@dataclass
class _Fault:
    """Something to go wrong with the next `left` requests (None: all) whose key matches."""

    pattern: str
    left: int | None
    status: int | None = None
    retry_after_s: int | None = None
    stall_s: float = 0.0
    cut_at: int | None = None
    body: bytes | None = None


@dataclass
class _State:
    """What the station's threads share."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    objects: dict[str, _Object] = field(default_factory=dict)
    faults: list[_Fault] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def fault_for(self, key: str) -> _Fault | None:
        """The first fault that still matches, one use of it spent."""
        with self.lock:
            for fault in self.faults:
                if fault.left != 0 and fnmatchcase(key, fault.pattern):
                    if fault.left is not None:
                        fault.left -= 1
                    return fault
        return None


class Station:
    """An HTTP server on 127.0.0.1 that serves objects in memory; a context manager.

    `url` is the bucket's address, `<url>/<key>` an object's, `<url>/?list-type=2&prefix=...` a listing. Patterns are
    shell patterns over whole keys (`rpi_a/hls/*/live003.ts`); of several faults that match, the first set is used up
    first. A listing's key, for patterns and in `requests`, is `?` and its query as sent.
    """

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._state = _State()
        self._clock = clock
        self._server = _Server(self._state)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{BUCKET}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="station", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering, end stalled answers and open connections, and give the port back."""
        self._state.closing.set()
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    def put(self, key: str, data: bytes) -> None:
        """Publish an object, or publish it anew."""
        stored = _Object(data, f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"', self._clock())
        with self._state.lock:
            self._state.objects[key] = stored

    def remove(self, key: str) -> None:
        """Take an object away, if it is there."""
        with self._state.lock:
            self._state.objects.pop(key, None)

    def fail(self, pattern: str, status: int, *, times: int | None = 1, retry_after_s: int | None = None) -> None:
        """Answer the next `times` matching requests with `status`; `times=None` means from now on."""
        self._add(_Fault(pattern, times, status=status, retry_after_s=retry_after_s))

    def stall(self, pattern: str, seconds: float, *, times: int | None = 1) -> None:
        """Keep the next matching requests waiting that long, then hang up without an answer."""
        self._add(_Fault(pattern, times, stall_s=seconds))

    def cut(self, pattern: str, at_byte: int, *, times: int | None = 1) -> None:
        """Promise whole bodies to the next matching requests, and hang up after `at_byte` bytes of them."""
        self._add(_Fault(pattern, times, cut_at=at_byte))

    def answer(self, pattern: str, body: bytes, *, times: int | None = 1) -> None:
        """Answer the next matching requests with other bytes than published: a half-written or a shrunk playlist."""
        self._add(_Fault(pattern, times, body=body))

    def heal(self) -> None:
        """Forget every fault that was not used up."""
        with self._state.lock:
            self._state.faults.clear()

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request answered so far, in order of the answers."""
        with self._state.lock:
            return tuple(self._state.requests)

    def _add(self, fault: _Fault) -> None:
        with self._state.lock:
            self._state.faults.append(fault)


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that closing it leaves no thread and no socket behind."""

    daemon_threads = False  # joined on close
    request_queue_size = 64

    def __init__(self, state: _State) -> None:
        self.state = state
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if isinstance(request, socket.socket):
            with self.state.lock:
                self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        if isinstance(request, socket.socket):
            with self.state.lock:
                self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        """Wake the threads that wait for another request on a kept-alive connection."""
        with self.state.lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                log.debug("a connection was already closed by its client")

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's signature
        if isinstance(sys.exception(), ConnectionError):
            log.debug("a client went away: %s", client_address)
        else:
            log.error("the station could not answer %s", client_address, exc_info=sys.exception())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes; waiting for an acknowledgement costs 40 ms each
    server: _Server

    def do_GET(self) -> None:
        """Answer one request for an object or a listing."""
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        inside = path.removeprefix(f"/{BUCKET}").removeprefix("/")
        key = f"?{parts.query}" if not inside and parts.query else inside
        state = self.server.state
        fault = state.fault_for(key)
        if fault and fault.stall_s:
            state.closing.wait(fault.stall_s)
            self.close_connection = True
            self._note(key, 0)
        elif fault and fault.status:
            self._send_error(key, fault.status, retry_after_s=fault.retry_after_s)
        elif not path.startswith(f"/{BUCKET}"):
            self._send_error(key, HTTPStatus.NOT_FOUND)
        elif not inside:
            self._send_listing(key, dict(parse_qsl(parts.query)))
        else:
            self._send_object(key, fault)

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def _send_listing(self, key: str, query: dict[str, str]) -> None:
        with self.server.state.lock:
            objects = dict(self.server.state.objects)
        listed = (ListedObject(name, len(o.data), o.etag, o.modified_utc) for name, o in objects.items())
        body = list_objects_v2(BUCKET, listed, query) if query.get("list-type") == "2" else None
        if body is None:
            self._send_error(key, HTTPStatus.BAD_REQUEST)
        else:
            self._send(key, HTTPStatus.OK, body, {"Content-Type": "application/xml"})

    def _send_object(self, key: str, fault: _Fault | None) -> None:
        if fault and fault.body is not None:
            self._send(key, HTTPStatus.OK, fault.body, {"Content-Type": "application/octet-stream"})
            return
        with self.server.state.lock:
            stored = self.server.state.objects.get(key)
        if stored is None:
            self._send_error(key, HTTPStatus.NOT_FOUND)
            return
        headers = {"ETag": stored.etag, "Last-Modified": email.utils.format_datetime(stored.modified_utc, usegmt=True)}
        if self._client_has(stored):
            self._send(key, HTTPStatus.NOT_MODIFIED, b"", headers)
            return
        headers["Content-Type"] = "application/octet-stream"
        status, data = HTTPStatus.OK, stored.data
        if part := _FROM.fullmatch(self.headers.get("Range", "")):
            start, length = int(part[1]), len(stored.data)
            if start >= length:
                self._send_error(key, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                return
            status, data = HTTPStatus.PARTIAL_CONTENT, stored.data[start:]
            headers["Content-Range"] = f"bytes {start}-{length - 1}/{length}"
        self._send(key, status, data, headers, cut_at=fault.cut_at if fault else None)

    def _client_has(self, stored: _Object) -> bool:
        """Whether a conditional request needs no body; an ETag outweighs a date (RFC 9110)."""
        if etags := self.headers.get("If-None-Match"):
            return stored.etag in {tag.strip() for tag in etags.split(",")}
        if since := self.headers.get("If-Modified-Since"):
            return stored.modified_utc.replace(microsecond=0) <= email.utils.parsedate_to_datetime(since)
        return False

    def _send_error(self, key: str, status: int, *, retry_after_s: int | None = None) -> None:
        code = HTTPStatus(status).phrase.replace(" ", "")
        body = f"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{code}</Code><Key>{key}</Key></Error>".encode()
        headers = {"Content-Type": "application/xml"}
        if retry_after_s is not None:
            headers["Retry-After"] = str(retry_after_s)
        self._send(key, status, body, headers)

    def _send(self, key: str, status: int, body: bytes, headers: dict[str, str], *, cut_at: int | None = None) -> None:
        self._note(key, status)  # before the answer, so that whoever has it finds it noted
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut_at is None else body[:cut_at])
        if cut_at is not None:
            self.close_connection = True

    def _note(self, key: str, status: int) -> None:
        with self.server.state.lock:
            self.server.state.requests.append(Request(self.command, key, int(status)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        log.debug(format, *args)
