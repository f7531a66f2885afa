"""The real emulator of Blob Storage, Azurite, as a process on free ports of loopback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's well-known account and key, the same everywhere (Microsoft Learn, "Connect to Azurite")."""
_MAIN = Path(__file__).parents[2] / ".venv" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
_LISTENS = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (https?://\S+)")
_START_S = 60.0


@dataclass(frozen=True)
class Azurite:
    """Where a running emulator's services listen."""

    blob_url: str
    queue_url: str
    table_url: str

    @property
    def connection_string(self) -> str:
        """What SDKs and the Functions host connect with."""
        return (
            f"DefaultEndpointsProtocol={self.blob_url.partition(':')[0]};AccountName={ACCOUNT};AccountKey={KEY};"
            f"BlobEndpoint={self.blob_url};QueueEndpoint={self.queue_url};TableEndpoint={self.table_url};"
        )


def missing() -> str | None:
    """What is missing to run Azurite, and how to get it; None when all is there."""
    if shutil.which("node") is None:
        return "node is not installed: install Node.js 20 or later, then `make .venv/installed-azurite`"
    if not _MAIN.is_file():
        return "Azurite is not installed: `make .venv/installed-azurite`"
    return None


@contextmanager
def run_azurite(
    *, blob_port: int = 0, queue_port: int = 0, table_port: int = 0, certificate: tuple[Path, Path] | None = None
) -> Iterator[Azurite]:
    """Azurite with nothing in it, kept in memory and ended on exit. A port of 0 is any free one.

    Args:
        blob_port: for the blob service.
        queue_port: for the queue service, which the Functions host needs.
        table_port: for the table service, which it needs too.
        certificate: files of a certificate for 127.0.0.1 and of its key: then it speaks https and takes any token for
            storage (`--oauth basic`).
    """
    ports = (f"--blobPort={blob_port}", f"--queuePort={queue_port}", f"--tablePort={table_port}")
    secure = (f"--cert={certificate[0]}", f"--key={certificate[1]}", "--oauth=basic") if certificate else ()
    flags = ("--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck")
    process = subprocess.Popen(
        ["node", str(_MAIN), *flags, *ports, *secure],  # noqa: S607 - node is wherever the machine has it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    watchdog = threading.Timer(_START_S, process.kill)  # an emulator that never listens must not hang a test run
    watchdog.start()
    try:
        urls = _urls(process)
        watchdog.cancel()
        yield Azurite(*(f"{urls[service]}/{ACCOUNT}" for service in ("Blob", "Queue", "Table")))
    finally:
        watchdog.cancel()
        process.kill()
        process.communicate()


def _urls(process: subprocess.Popen[str]) -> dict[str, str]:
    """The addresses of the three services, once all listen."""
    assert process.stdout is not None
    urls: dict[str, str] = {}
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if match := _LISTENS.search(line):
            urls[match[1]] = match[2]
        if len(urls) == 3:
            return urls
    raise RuntimeError("Azurite did not start:\n" + "".join(said))
