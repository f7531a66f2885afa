"""All services of the account together: what one of them cannot do costs nobody else anything."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from types import TracebackType

import pytest
from azure.cosmos import CosmosClient

from shared.bootstrap import open_house
from shared.demo.station import Station
from shared.documents import CLIPS
from shared.errors import StorageError
from shared.hydrophones import Hydrophone
from shared.settings import load_settings
from shared.storage.azure.account import _Database
from tests.emulators.account import Ports, prepare, run_account
from tests.emulators.azurite import missing
from tests.emulators.cosmos import CosmosEmulator
from tests.house import fake_detector, open_test_house, publish


@pytest.mark.skipif(bool(missing()), reason=missing() or "")
def test_a_process_that_starts_while_cosmos_db_is_away_scores(
    station: Station, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring needs no documents: it goes on, who asks for one is told, and Cosmos DB is used once it is back."""
    fake_detector(monkeypatch, 0.9)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with run_account(Ports(0, 0, 0, 0, 0)) as settings:
        node = publish(station, 6)
        with open_test_house(tmp_path, node) as local:
            (report,) = local.poll()
        endpoint, key = settings["CosmosConnection"].split(";", 1)
        away = {"CosmosConnection": f"AccountEndpoint=http://127.0.0.1:{port}/;{key}"}
        assert endpoint.startswith("AccountEndpoint=http://127.0.0.1:")
        for name, value in (settings | away).items():
            monkeypatch.setenv(name, value)

        hydrophones = [Hydrophone(id=node.name, stream_url=node.url)]
        with open_house(load_settings(storage="azure"), hydrophones=hydrophones) as house:
            scored = house.score(report.batches[0], last_try=False)
            assert house.storage.blobs.exists(scored.result_blob)
            for _ in range(2):
                with pytest.raises(StorageError, match="Cosmos DB at the emulator does not answer"):
                    house.record(scored.result_blob)
            with CosmosEmulator(port=port):
                prepare(settings | away)
                house.record(scored.result_blob)
                assert house.storage.documents.get(CLIPS, node.name, scored.result.clip_id)


class NotingLock:
    """A lock that knows how many wait for it or hold it."""

    def __init__(self) -> None:
        self.asked = 0
        self._lock, self._guard = threading.Lock(), threading.Lock()

    def __enter__(self) -> None:
        with self._guard:
            self.asked += 1
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()


def test_threads_that_ask_together_share_one_try() -> None:
    """A service that hangs costs all polls of a tick one wait, and not one after another; the next tick tries anew."""
    lock, tries = NotingLock(), 0

    def hang() -> CosmosClient:
        nonlocal tries
        tries += 1
        while lock.asked < 8:
            sleep(0.001)
        raise StorageError("no answer")

    database = _Database(hang, "predictions", ExitStack())
    database._lock = lock  # type: ignore[assignment]  # as good as one
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(database) for _ in range(8)]
    assert [str(one.exception()) for one in asked] == ["no answer"] * 8
    assert tries == 1

    with pytest.raises(StorageError, match="no answer"):
        database()
    assert tries == 2
