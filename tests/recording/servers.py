"""Real servers on loopback that refuse the first so many messages: HTTP and SMTP."""

from __future__ import annotations

import asyncio
import email
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


@dataclass
class HttpServer:
    """What came by HTTP: path, headers and JSON body of every request; `answers` are given first, then 201.

    A GET, which is what clients make of a redirected POST, counts as a request with the body None.
    """

    port: int = 0
    answers: list[tuple[int, str]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@contextmanager
def http_server(*answers: tuple[int, str]) -> Iterator[HttpServer]:
    """An HTTP server that gives these answers (status, body) first, and then takes everything.

    The body of a redirect is the address it leads to.
    """
    seen = HttpServer(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(json.loads(body))

        def do_GET(self) -> None:
            self._answer(None)

        def _answer(self, body: object) -> None:
            seen.requests.append((self.path, dict(self.headers), body))
            status, text = seen.answers.pop(0) if seen.answers else (201, "{}")
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", text)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


@dataclass
class MailServer:
    """What came by SMTP, recipients and message of each; the first `refusals` messages are refused with 451."""

    port: int = 0
    refusals: int = 0
    attempts: list[Message] = field(default_factory=list)
    messages: list[tuple[list[str], Message]] = field(default_factory=list)

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take or refuse a message, as aiosmtpd asks."""
        message = email.message_from_bytes(envelope.content)
        self.attempts.append(message)
        if self.refusals:
            self.refusals -= 1
            return "451 try again later"
        self.messages.append((envelope.rcpt_tos, message))
        return "250 taken"


class _AnyPort(Controller):
    """A controller that asks the system for a free port, and finds out which one it was."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]  # aiosmtpd leaves this one untyped


@contextmanager
def mail_server(*, refusals: int) -> Iterator[MailServer]:
    """An SMTP server that refuses the first messages, and then takes everything."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL)  # the server's own log is no part of what is tested
    seen = MailServer(refusals=refusals)
    controller = _AnyPort(seen, hostname="127.0.0.1", port=0)
    controller.start()
    seen.port = controller.port
    try:
        yield seen
    finally:
        controller.stop()
