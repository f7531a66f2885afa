"""All services of the account together: what one of them cannot do costs nobody else anything."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from shared.bootstrap import open_house
from shared.demo.station import Station
from shared.documents import CLIPS
from shared.errors import StorageError
from shared.hydrophones import Hydrophone
from shared.settings import load_settings
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
