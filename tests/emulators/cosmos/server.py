"""The emulator's HTTP side: who asks is checked, faults are let in, and what was answered becomes a response."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests.emulators.cosmos.auth import KEY, is_signed
from tests.emulators.cosmos.errors import CosmosError
from tests.emulators.cosmos.faults import Answer, Drop, Faults, Slow
from tests.emulators.cosmos.routes import Request, Response, Routes
from tests.emulators.cosmos.store import Account


class CosmosEmulator:
    """An account on a free port of this machine, from entering to leaving the context.

    Args:
        clock: What stamps writes and ends documents; the machine's own where none is given.
        port: Where to listen; 0 is any free port.
        key: The account's key.
        ranges: Physical partitions of each container.
        page_items: The most documents in one answer, whatever the client asks for.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        port: int = 0,
        key: str = KEY,
        ranges: int = 2,
        page_items: int = 1000,
    ) -> None:
        self.key = key
        self.faults = Faults()
        self.requests: list[Request] = []
        self.charge = 0.0  # request units of all requests for documents so far
        self.routes = Routes(Account(clock=clock, ranges=ranges), page_items=page_items)
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="cosmos-emulator", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.close_all()

    @property
    def endpoint(self) -> str:
        """Where the account is."""
        return f"http://127.0.0.1:{self._server.server_port}/"

    @property
    def connection_string(self) -> str:
        """Endpoint and key in one, as `CosmosClient.from_connection_string` takes them."""
        return f"AccountEndpoint={self.endpoint};AccountKey={self.key};"

    def answer(self, request: Request) -> Response:
        """Check who asks, then do what is asked; one request at a time."""
        headers = request.headers
        with self._lock:
            self.requests.append(request)
            signed = is_signed(
                headers.get("authorization", ""),
                key=self.key,
                method=request.method,
                parts=request.parts,
                date=headers.get("x-ms-date", ""),
            )
            if not signed:
                return refusal(CosmosError(401, "The input authorization token can't serve the request."))
            try:
                response = self.routes.answer(request, self.endpoint)
            except CosmosError as error:
                response = refusal(error)
            if request.is_for_documents:  # what the client asks of the account, at times of its own, is free
                self.charge += response.charge
            return response


def refusal(error: CosmosError) -> Response:
    """The response that says no."""
    names = {400: "BadRequest", 401: "Unauthorized", 404: "NotFound", 409: "Conflict", 412: "PreconditionFailed"}
    body = {"code": names.get(error.status, str(error.status)), "message": error.message, **error.extra}
    return Response(error.status, body, {"x-ms-substatus": str(error.substatus)})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # handlers wait on kept-alive connections, which close_all ends
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], emulator: CosmosEmulator) -> None:
        super().__init__(address, _Handler)
        self.emulator = emulator
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_all(self) -> None:
        """Stop listening and end every connection."""
        self.server_close()
        for connection in list(self._open):
            _break(connection)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Tests have nothing to read here."""

    def handle_any(self) -> None:
        """Answer one request, unless a fault has it otherwise."""
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = tuple(unquote(part) for part in urlsplit(self.path).path.split("/") if part)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts, headers, raw)
        emulator = self.server.emulator
        fault = emulator.faults.next_for(self.command, parts[3]) if request.is_for_documents else None
        match fault:
            case Slow(seconds):
                time.sleep(seconds)
            case Drop(after_work):
                if after_work:
                    emulator.answer(request)
                self.close_connection = True
                _break(self.connection)
                return
            case Answer(status, substatus, retry_after_ms):
                response = refusal(CosmosError(status, "A fault that the test asked for.", substatus=substatus))
                if retry_after_ms is not None:
                    response.headers["x-ms-retry-after-ms"] = str(retry_after_ms)
                self._send(response)
                return
        self._send(emulator.answer(request))

    do_GET = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the names http.server looks for

    def _send(self, response: Response) -> None:
        body = b"" if response.body is None else json.dumps(response.body).encode()
        self.send_response(response.status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "x-ms-activity-id": str(uuid.uuid4()),
            "x-ms-request-charge": f"{response.charge:.2f}",
            **response.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _break(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the other side was first
