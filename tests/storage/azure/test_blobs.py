"""What Blob Storage does beyond the contract: lost answers, blocks, pages, and errors that keep secrets."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from functools import partialmethod
from unittest.mock import Mock

import pytest
import requests
from azure.core.exceptions import ResourceExistsError
from azure.core.pipeline.transport import HttpRequest, HttpTransport
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient, StorageErrorCode

from shared.documents import BLOB_CONTAINERS
from shared.errors import BlobNotFound, StorageError
from shared.storage.azure.blobs import CLIENT_OPTIONS, AzureBlobs, ensure_containers
from tests.contract.azure_blobs import empty_service
from tests.emulators.azurite import ACCOUNT, KEY, Azurite
from tests.storage.azure.transport import Troubled, first

NAME = "results/rpi_bush_point/1774046159/5614-5619.json"
OTHER_KEY = "b3RoZXI="
BLOCK = 64 * 1024
DATA = bytes(range(256)) * 1024  # 4 blocks
BLOCKS = {"max_single_put_size": BLOCK, "max_block_size": BLOCK, "min_large_block_upload_threshold": 1}


@pytest.fixture
def transport() -> Troubled:
    """A way to the emulator, without trouble so far."""
    return Troubled()


@pytest.fixture(autouse=True)
def waits_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the SDK would have waited between tries; it does not."""
    waits_s: list[float] = []
    monkeypatch.setattr(HttpTransport, "sleep", lambda _, duration: waits_s.append(duration))
    return waits_s


@pytest.fixture
def service(azurite: Azurite, transport: Troubled) -> Iterator[BlobServiceClient]:
    """A client over that transport, on an empty account."""
    with empty_service(azurite, transport=transport) as service:
        yield service


@pytest.fixture
def blobs(service: BlobServiceClient) -> AzureBlobs:
    """An empty store."""
    return AzureBlobs(service, containers=BLOB_CONTAINERS)


def _is(method: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.method == method


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [
        ("json", "application/json"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("png", "image/png"),
        ("bin", "application/octet-stream"),
    ],
)
def test_browsers_know_what_it_is(blobs: AzureBlobs, suffix: str, content_type: str) -> None:
    """A blob is served with the content type of its suffix, so that a clip plays where its link is opened."""
    blobs.put(f"detections/a.{suffix}", b"x")
    answer = requests.get(blobs.link(f"detections/a.{suffix}", valid_s=60), timeout=30)
    assert answer.headers["Content-Type"] == content_type


def test_metadata_stands_beside_the_blob(blobs: AzureBlobs, service: BlobServiceClient) -> None:
    """Metadata is kept until the next write, whose own replaces it."""

    def metadata() -> dict[str, str]:
        return service.get_blob_client(*NAME.split("/", 1)).get_blob_properties().metadata

    blobs.put(NAME, b"x", metadata={"traceparent": "00-ab-cd-01"})
    assert metadata() == {"traceparent": "00-ab-cd-01"}
    blobs.put(NAME, b"y")
    assert metadata() == {}


def test_a_lost_answer_to_a_write(blobs: AzureBlobs, transport: Troubled) -> None:
    """A write whose answer is lost is tried again and right; a conditional one then finds its own blob, says False."""
    transport.lose_answer = first(_is("PUT"))
    assert blobs.put(NAME, b"first")
    assert blobs.get(NAME) == b"first"
    blobs.delete(NAME)
    transport.lose_answer = first(_is("PUT"))
    assert not blobs.put(NAME, b"second", overwrite=False)
    assert blobs.get(NAME) == b"second"


def test_a_lost_answer_to_a_delete(blobs: AzureBlobs, transport: Troubled) -> None:
    """A delete whose answer is lost finds nothing left to delete."""
    blobs.put(NAME, b"x")
    transport.lose_answer = first(_is("DELETE"))
    assert not blobs.delete(NAME)
    assert not blobs.exists(NAME)


def test_no_answer_at_all(blobs: AzureBlobs, transport: Troubled, waits_s: list[float]) -> None:
    """After four tries it is a StorageError that says which blob and where; the waits between are 2, 4 and 8 s."""
    transport.lose_request = lambda _: True
    tries: list[Callable[[], object]] = [
        lambda: blobs.put(NAME, b"x"),
        lambda: blobs.get(NAME),
        lambda: blobs.exists(NAME),
        lambda: blobs.delete(NAME),
        lambda: list(blobs.list("results/")),
    ]
    for attempt in tries:
        transport.requests.clear()
        waits_s.clear()
        with pytest.raises(
            StorageError, match=rf"blob results/.* in account {ACCOUNT}: no answer .*try again"
        ) as caught:
            attempt()
        assert not isinstance(caught.value, BlobNotFound)
        assert len(transport.requests) == 4
        assert waits_s == [pytest.approx(wait_s, abs=1) for wait_s in (2, 4, 8)]
    transport.lose_request = lambda _: False
    assert list(blobs.list("")) == []


def test_a_large_blob_goes_in_blocks(azurite: Azurite, transport: Troubled) -> None:
    """What is too large for one request is sent in blocks, and is conditional, typed and whole all the same."""
    with empty_service(azurite, transport=transport, **BLOCKS) as service:
        blobs = AzureBlobs(service, containers=BLOB_CONTAINERS)
        transport.requests.clear()
        assert blobs.put(NAME, DATA, overwrite=False)
        assert len(transport.requests) == 4 + 1
        assert blobs.get(NAME) == DATA
        assert not blobs.put(NAME, DATA[::-1], overwrite=False)
        assert blobs.get(NAME) == DATA
        assert blobs.put(NAME, DATA[::-1])
        assert blobs.get(NAME) == DATA[::-1]


def test_half_a_blob_is_none(azurite: Azurite, transport: Troubled) -> None:
    """When the way breaks between two blocks nothing is seen of the new blob, and the old one stays."""
    with empty_service(azurite, transport=transport, **BLOCKS) as service:
        blobs = AzureBlobs(service, containers=BLOB_CONTAINERS)
        blobs.put("clips/old.flac", b"old")
        for name in ("clips/new.flac", "clips/old.flac"):
            transport.requests.clear()
            transport.lose_request = lambda _: len(transport.requests) > 2
            with pytest.raises(StorageError, match=f"{name}.*no answer"):
                blobs.put(name, DATA)
            transport.lose_request = lambda _: False
        assert [(info.name, info.size_bytes) for info in blobs.list("")] == [("clips/old.flac", 3)]
        assert not blobs.exists("clips/new.flac")
        assert blobs.get("clips/old.flac") == b"old"


def test_a_blob_that_changes_while_it_is_read(azurite: Azurite, transport: Troubled) -> None:
    """A large blob is read in parts, all of one version: when it is written over meanwhile, that is said."""
    with empty_service(azurite, transport=transport, max_single_get_size=BLOCK, max_chunk_get_size=BLOCK) as service:
        blobs = AzureBlobs(service, containers=BLOB_CONTAINERS)
        blobs.put(NAME, DATA)
        assert blobs.get(NAME) == DATA
        begun = first(_is("GET"))

        def write_over(request: HttpRequest) -> None:
            if begun(request):
                blobs.put(NAME, DATA[::-1])

        transport.after = write_over
        with pytest.raises(StorageError, match=f"{NAME}.* answered 412 ConditionNotMet; try again"):
            blobs.get(NAME)
        assert blobs.get(NAME) == DATA[::-1]


def test_list_goes_page_by_page(blobs: AzureBlobs, transport: Troubled, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing asks for the next page only when it is needed, and misses none."""
    names = [f"clips/{n}" for n in range(5)]
    for name in names:
        blobs.put(name, b"x")
    small = partialmethod(ContainerClient.list_blobs, results_per_page=2)
    monkeypatch.setattr(ContainerClient, "list_blobs", small)
    transport.requests.clear()
    listed = blobs.list("clips/")
    assert transport.requests == []
    assert [next(listed).name, next(listed).name] == names[:2]
    assert len(transport.requests) == 1
    assert [info.name for info in listed] == names[2:]
    assert len(transport.requests) == 3


def test_containers_in_order_of_name(service: BlobServiceClient, transport: Troubled) -> None:
    """Containers are listed in the order of whole names, and only those that may hold the prefix are asked."""
    ensure_containers(service, ["clips-old"])
    blobs = AzureBlobs(service, containers=("results", "clips", "clips-old"))
    for container in ("clips", "clips-old", "results"):
        blobs.put(f"{container}/a", b"")
    assert [info.name for info in blobs.list("")] == ["clips-old/a", "clips/a", "results/a"]
    assert [info.name for info in blobs.list("clips")] == ["clips-old/a", "clips/a"]
    transport.requests.clear()
    assert [info.name for info in blobs.list("clips/")] == ["clips/a"]
    assert len(transport.requests) == 1


def test_blobs_of_others_are_not_listed(blobs: AzureBlobs, service: BlobServiceClient) -> None:
    """What a person uploads under a name of their own does not disturb."""
    blobs.put("clips/a", b"x")
    for foreign in ("My notes.txt", "B/c", ".hidden"):
        service.get_blob_client("clips", foreign).upload_blob(b"x")
    assert [info.name for info in blobs.list("")] == ["clips/a"]


def test_a_container_that_is_not_there(blobs: AzureBlobs, service: BlobServiceClient) -> None:
    """A missing container is not a missing blob: the error says what to do about it."""
    for attempt in (lambda: blobs.put("nowhere/a", b"x"), lambda: blobs.get("nowhere/a")):
        with pytest.raises(StorageError, match="no container nowhere; deploy infra/") as caught:
            attempt()
        assert not isinstance(caught.value, BlobNotFound)
    with pytest.raises(StorageError, match="no container nowhere"):
        list(AzureBlobs(service, containers=["nowhere"]).list(""))


def test_a_conflict_that_is_no_earlier_blob(blobs: AzureBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A conditional put says False for a blob that is there alone: any other conflict is an error."""
    conflict = ResourceExistsError("409")
    conflict.status_code = 409
    conflict.error_code = StorageErrorCode.CONTAINER_BEING_DELETED  # type: ignore[attr-defined]  # the SDK sets it so
    monkeypatch.setattr(BlobClient, "upload_blob", Mock(side_effect=conflict))
    with pytest.raises(StorageError, match=f"{NAME}.* 409 ContainerBeingDeleted"):
        blobs.put(NAME, b"x", overwrite=False)


def test_a_blob_on_lease(blobs: AzureBlobs, service: BlobServiceClient) -> None:
    """A blob that somebody holds a lease on is neither written over nor deleted."""
    blobs.put(NAME, b"x")
    lease = service.get_blob_client(*NAME.split("/", 1)).acquire_lease()
    with pytest.raises(StorageError, match=f"{NAME}.* 412 LeaseIdMissing"):
        blobs.put(NAME, b"y")
    with pytest.raises(StorageError, match="LeaseIdMissing"):
        blobs.delete(NAME)
    lease.release()
    assert blobs.get(NAME) == b"x"


def test_refused(azurite: Azurite) -> None:
    """A refusal names the role as the cure, and neither the key nor what was signed with it."""
    wrong = azurite.connection_string.replace(KEY, OTHER_KEY)
    with BlobServiceClient.from_connection_string(wrong, **CLIENT_OPTIONS) as service:
        blobs = AzureBlobs(service, containers=BLOB_CONTAINERS)
        with pytest.raises(StorageError, match=f"{NAME}.* answered 403 AuthorizationFailure; give .* role") as caught:
            blobs.get(NAME)
    assert "ignature" not in str(caught.value)
    logged = "".join(traceback.format_exception(caught.value))
    assert "AuthorizationFailure" in logged.partition("The above exception was the direct cause")[0]
    assert not [secret for secret in (OTHER_KEY, "sig=", f"SharedKey {ACCOUNT}:") if secret in logged]


def test_containers_are_made_once(service: BlobServiceClient) -> None:
    """What is there already stays as it is."""
    service.get_blob_client("clips", "a").upload_blob(b"x")
    ensure_containers(service, ["clips", "extra"])
    assert service.get_blob_client("clips", "a").exists()
    assert service.get_container_client("extra").exists()
