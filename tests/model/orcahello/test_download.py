"""Fetching from the hub, from a server here that answers as the hub does: a redirect that names length and SHA-256."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from model.orcahello import download
from model.orcahello.download import REPOSITORY, fetch
from shared.errors import ModelError

CONTENT = bytes(range(256)) * 12_000


@contextmanager
def hub(
    *, content: bytes = CONTENT, told: bytes = CONTENT, length: int | None = None, status: int = 200
) -> Iterator[str]:
    """A hub that sends `content`, and says of it what is true of `told`; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == f"/{REPOSITORY}/resolve/v1/model.safetensors":
                self.send_response(302)
                self.send_header("Location", "/storage")
                self.send_header("X-Linked-Etag", f'"{sha256(told).hexdigest()}"')
                self.send_header("X-Linked-Size", str(len(told)))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(status if self.path == "/storage" else 404)
            self.send_header("Content-Length", str(len(content) if length is None else length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Be silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_the_file_is_fetched_and_its_sum_told(tmp_path: Path) -> None:
    """What came is what the hub names; progress ends at the whole, and nothing else is left."""
    told: list[tuple[int, int | None]] = []
    target = tmp_path / "w.safetensors"

    with hub() as address:
        found = fetch(target, revision="v1", hub=address, progress=lambda done, total: told.append((done, total)))

    assert target.read_bytes() == CONTENT
    assert found == sha256(CONTENT).hexdigest()
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert list(tmp_path.iterdir()) == [target]


def refused(tmp_path: Path, address: str, revision: str = "v1") -> str:
    """What is said when it is not fetched; no file is there then, and an earlier one stays."""
    target = tmp_path / "w.safetensors"
    target.write_bytes(b"earlier")
    with pytest.raises(ModelError) as caught:
        fetch(target, revision=revision, hub=address)
    assert target.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [target]
    return str(caught.value)


def test_other_bytes_are_refused(tmp_path: Path) -> None:
    """One byte changed on the way does not go unseen."""
    with hub(content=b"\x01" + CONTENT[1:]) as address:
        assert "has not the SHA-256" in refused(tmp_path, address)


def test_a_short_answer_is_refused(tmp_path: Path) -> None:
    """Neither does an end that is missing, whether the connection breaks or not."""
    with hub(content=CONTENT[:-1]) as address:
        assert "bytes came of" in refused(tmp_path, address)
    with hub(content=CONTENT[:-1], length=len(CONTENT)) as address:
        assert "cannot be fetched" in refused(tmp_path, address)


def test_an_endless_answer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is taken than these weights may have."""
    monkeypatch.setattr(download, "MAX_BYTES", 2_000_000)
    with hub() as address:
        assert "more than 2000000 bytes" in refused(tmp_path, address)


def test_an_unknown_revision_is_told(tmp_path: Path) -> None:
    """So is any answer but the file."""
    with hub() as address:
        assert "HTTP 404; check the revision v9" in refused(tmp_path, address, "v9")
    with hub(status=503) as address:
        assert "HTTP 503" in refused(tmp_path, address)


def test_no_network_is_told(tmp_path: Path) -> None:
    """Who has no network is told how else the file can be had."""
    with hub() as address:
        pass

    assert "--weights" in refused(tmp_path, address)
