"""A server that speaks by hand: for what no decent server would say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


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
