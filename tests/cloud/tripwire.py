"""A proxy before an HTTP service that counts the writes going through, and calls when a chosen one comes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

When = Literal["before", "after"]
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass
class Tripwire:
    """Counts writes over all its proxies; `at` says at which of them, and when, `spring` is called.

    What is asked at that write gets no answer: the caller is to be dead by then.
    """

    at: dict[int, When] = field(default_factory=dict)
    spring: Callable[[], None] = lambda: None
    writes: int = 0
    sprung: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def passing(self, what: str) -> When | None:
        """Count a write; when it is a chosen one, say when to call."""
        with self._lock:
            self.writes += 1
            when = self.at.get(self.writes)
            if when is not None:
                self.sprung.append(f"{when} write {self.writes}: {what}")
            return when


@contextmanager
def proxied(url: str, wire: Tripwire) -> Iterator[str]:
    """A service's address by way of the wire."""
    target = urlsplit(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            writes = self.command in {"PUT", "POST", "DELETE"} and "x-ms-documentdb-isquery" not in self.headers
            when = wire.passing(f"{self.command} {self.path.partition('?')[0]}") if writes else None
            if when == "before":
                return self._die()
            connection = http.client.HTTPConnection(target.netloc, timeout=60)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                content = answer.read()
            finally:
                connection.close()
            if when == "after":
                return self._die()
            own = self.headers["Host"].encode()
            content = content.replace(target.netloc.encode(), own)  # Cosmos DB tells clients where to go on
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(content)
            return None

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - the base class names them so

        def _die(self) -> None:
            wire.spring()
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A caller that was killed is no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{target.path}"
        finally:
            server.shutdown()
            thread.join()
