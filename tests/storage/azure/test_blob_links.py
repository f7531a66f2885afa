"""Links to blobs: what they open, for how long, and with which key they are signed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import BlobServiceClient

from shared.documents import BLOB_CONTAINERS
from shared.errors import StorageError
from shared.storage.azure.blobs import CLIENT_OPTIONS, MAX_LINK_S, AzureBlobs, ensure_containers
from tests.contract.azure_blobs import empty_service
from tests.emulators.azurite import Azurite, run_azurite
from tests.storage.azure.certificates import UnsignedTokens, make_certificate

NAME = "detections/rpi_bush_point/2026-03-20/rpi_bush_point_2026-03-20t22-35-59z_5614-5619.flac"


@pytest.fixture
def service(azurite: Azurite) -> Iterator[BlobServiceClient]:
    """A client with an account key, as emulators have it, on an empty account."""
    with empty_service(azurite) as service:
        yield service


@pytest.fixture
def blobs(service: BlobServiceClient) -> AzureBlobs:
    """An empty store."""
    return AzureBlobs(service, containers=BLOB_CONTAINERS)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for loopback and its key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def identity_service(azurite: Azurite, certificate: tuple[Path, Path]) -> Iterator[BlobServiceClient]:
    """A client that shows a token, as Haro does in Azure, to an emulator with https and user delegation keys."""
    with (
        run_azurite(certificate=certificate) as secure,
        BlobServiceClient(
            secure.blob_url, credential=UnsignedTokens(), connection_verify=str(certificate[0]), **CLIENT_OPTIONS
        ) as service,
    ):
        ensure_containers(service, BLOB_CONTAINERS)
        yield service


@pytest.mark.parametrize("signed_with", ["account key", "user delegation key"])
def test_a_link_lets_read_one_blob_until_its_end(
    azurite: Azurite, certificate: tuple[Path, Path], request: pytest.FixtureRequest, signed_with: str
) -> None:
    """A link opens its blob, neither changes nor removes it, opens no other, and not after its end."""
    service = request.getfixturevalue("service" if signed_with == "account key" else "identity_service")
    blobs = AzureBlobs(service, containers=BLOB_CONTAINERS)
    yesterday = AzureBlobs(service, containers=BLOB_CONTAINERS, now=lambda: datetime.now(UTC) - timedelta(days=1))
    blobs.put("detections/a.flac", b"a")
    blobs.put("detections/b.flac", b"b")
    link = blobs.link("detections/a.flac", valid_s=3600)

    def status(method: str, url: str) -> int:
        data, headers = (b"c", {"x-ms-blob-type": "BlockBlob"}) if method == "PUT" else (None, {})
        answer = requests.request(method, url, data=data, headers=headers, timeout=30, verify=str(certificate[0]))
        return answer.status_code

    assert requests.get(link, timeout=30, verify=str(certificate[0])).content == b"a"
    assert status("PUT", link) == 403
    assert status("DELETE", link) == 403
    assert status("GET", link.replace("a.flac", "b.flac")) == 403
    assert status("GET", blobs.uri("detections/a.flac")) == 403
    assert status("GET", yesterday.link("detections/a.flac", valid_s=86400 + 3600)) == 200
    assert status("GET", yesterday.link("detections/a.flac", valid_s=86400 - 60)) == 403
    assert blobs.get("detections/a.flac") == b"a"


def test_what_a_link_says(identity_service: BlobServiceClient) -> None:
    """A link is for reading, over https alone, from 15 minutes ago (clocks differ) to its end."""
    now = datetime(2026, 3, 20, 12, tzinfo=UTC)
    blobs = AzureBlobs(identity_service, containers=BLOB_CONTAINERS, now=lambda: now)
    query = parse_qs(urlsplit(blobs.link("detections/a.flac", valid_s=3600)).query)
    said = {key: query[key] for key in ("sp", "spr", "sr", "st", "se")}
    assert said == {
        "sp": ["r"],
        "spr": ["https"],
        "sr": ["b"],
        "st": ["2026-03-20T11:45:00Z"],
        "se": ["2026-03-20T13:00:00Z"],
    }


def test_one_delegation_key_signs_many_links(
    identity_service: BlobServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key is asked for once an hour at most, for less than Azure's 7 days, and again when a link would outlive it."""
    asked = Mock(wraps=identity_service.get_user_delegation_key)
    monkeypatch.setattr(identity_service, "get_user_delegation_key", asked)
    now = began = datetime.now(UTC)
    blobs = AzureBlobs(identity_service, containers=BLOB_CONTAINERS, now=lambda: now)
    for minutes in (0, 30, 60):
        now = began + timedelta(minutes=minutes)
        blobs.link("detections/a.flac", valid_s=MAX_LINK_S)
        blobs.link("detections/b.flac", valid_s=60)
    assert asked.call_count == 1
    start, end = asked.call_args.args
    assert start < began
    assert began + timedelta(days=6, hours=23) < end < began + timedelta(days=7)
    now = end - timedelta(seconds=60)
    blobs.link("detections/a.flac", valid_s=60)
    assert asked.call_count == 1
    blobs.link("detections/a.flac", valid_s=61)
    assert asked.call_count == 2


def test_a_link_while_no_key_is_to_be_had(identity_service: BlobServiceClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token there is no link but a StorageError that names the blob; the next call asks again."""
    real = identity_service.get_user_delegation_key
    asked = Mock(side_effect=[ClientAuthenticationError("no token"), real(datetime.now(UTC), datetime.now(UTC))])
    monkeypatch.setattr(identity_service, "get_user_delegation_key", asked)
    blobs = AzureBlobs(identity_service, containers=BLOB_CONTAINERS)
    with pytest.raises(StorageError, match=rf"{NAME}.* no answer \(ClientAuthenticationError\); .* identity"):
        blobs.link(NAME, valid_s=60)
    assert blobs.link(NAME, valid_s=60)


@pytest.mark.parametrize("valid_s", [0.0, -1.0, MAX_LINK_S + 1, float("nan")])
def test_how_long_a_link_may_live(blobs: AzureBlobs, valid_s: float) -> None:
    """A link for no time, or for longer than a delegation key lives, is refused; one for a week nearly gets it."""
    with pytest.raises(StorageError, match=f"a link to {NAME}.*at most 604800 s"):
        blobs.link(NAME, valid_s=valid_s)
    ends = datetime.fromisoformat(parse_qs(blobs.link(NAME, valid_s=MAX_LINK_S))["se"][0])
    assert timedelta(days=6, hours=22) < ends - datetime.now(UTC) <= timedelta(seconds=MAX_LINK_S)
