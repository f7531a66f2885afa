"""Blob Storage behind the port of blobs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import (
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    ContentSettings,
    StorageErrorCode,
    UserDelegationKey,
    generate_blob_sas,
)

from shared.errors import BlobNotFound, ConflictError, StorageError
from shared.storage.ports import Blob, BlobInfo, check_blob_name, is_blob_name

CLIENT_OPTIONS: Final[Mapping[str, Any]] = {
    "initial_backoff": 0,
    "increment_base": 2,
    "random_jitter_range": 1,
    "retry_total": 3,
    "connection_timeout": 10,
    "read_timeout": 30,
}
"""How a `BlobServiceClient` tries again: three times, after about 2, 4 and 8 s.

At worst a call takes 4 x (10 + 30) + 14 s, well within a Service Bus lock of 5 minutes; with the SDK's own waits (18,
24 and 42 s) and timeouts it would not. Sizes stay the SDK's: one request up to 64 MiB, blocks of 4 MiB above.
"""
MAX_LINK_S = 7 * 86400.0  # Azure: no user delegation key lives longer
_CLOCK_SKEW = timedelta(minutes=15)  # how far clocks may differ, as Azure advises for the start of a signature
_KEY_LIFE = timedelta(seconds=MAX_LINK_S) - _CLOCK_SKEW
_LONGEST_LINK = _KEY_LIFE - timedelta(hours=1)
_CONTENT_TYPES = {
    ".json": "application/json",
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".png": "image/png",
    ".md": "text/markdown; charset=utf-8",
}
_THERE_ALREADY = (StorageErrorCode.BLOB_ALREADY_EXISTS, StorageErrorCode.CONDITION_NOT_MET)
_REFUSED = (401, 403)


class AzureBlobs:
    """A `BlobStore` in one storage account, whose containers exist already.

    What another writer or a lost answer did meanwhile is not told apart: when the answer to a conditional `put` or a
    `delete` is lost and the client asks again, it learns that the blob is there (or gone) and says False. The blob is
    right in either case; who must know whose it is reads it.

    Args:
        service: The account's client. With a token credential, links are signed with a user delegation key: the
            identity needs leave to make one (Storage Blob Delegator, or Storage Blob Data Contributor on the whole
            account). With an account key, as emulators have it, they are signed with that.
        containers: Those that `list` looks into.
        now: The clock that links are dated by.
    """

    def __init__(
        self,
        service: BlobServiceClient,
        *,
        containers: Iterable[str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._root = service.url.partition("?")[0].rstrip("/") + "/"
        self._containers = sorted(f"{container}/" for container in containers)  # "clips-old/" comes before "clips/"
        self._signer = _Signer(service, now)

    def put(self, name: str, data: bytes, *, overwrite: bool = True, metadata: Mapping[str, str] | None = None) -> bool:
        """See `BlobStore.put`. Keys of metadata are identifiers, values ASCII."""
        blob = self._blob(name)
        with self._explained(name):
            try:
                blob.upload_blob(
                    data,
                    length=len(data),
                    overwrite=overwrite,
                    metadata=dict(metadata or {}),
                    content_settings=_content(name),
                )
            except (ResourceExistsError, ResourceModifiedError) as error:
                if overwrite or _code(error) not in _THERE_ALREADY:
                    raise
                return False
        return True

    def get(self, name: str) -> bytes:
        """See `BlobStore.get`."""
        blob = self._blob(name)
        with self._explained(name):
            return blob.download_blob().readall()

    def copy_to(self, name: str, target: BinaryIO) -> None:
        """See `BlobStore.copy_to`: 32 MiB, then 4 MiB at a time."""
        blob = self._blob(name)
        with self._explained(name):
            blob.download_blob().readinto(target)

    def get_if_changed(self, name: str, *, etag: str | None) -> Blob | None:
        """See `BlobStore.get_if_changed`: one request, answered without the bytes while nothing changed."""
        blob = self._blob(name)
        with self._explained(name):
            try:
                if etag is None:
                    download = blob.download_blob()
                else:
                    download = blob.download_blob(etag=etag, match_condition=MatchConditions.IfModified)
            except HttpResponseError as error:
                if error.status_code != HTTPStatus.NOT_MODIFIED:
                    raise
                return None
            return Blob(download.readall(), str(download.properties.etag))

    def replace(self, name: str, data: bytes, *, etag: str) -> str:
        """See `BlobStore.replace`."""
        blob = self._blob(name)
        with self._explained(name):
            try:
                answer = blob.upload_blob(
                    data,
                    length=len(data),
                    overwrite=True,
                    content_settings=_content(name),
                    etag=etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except ResourceModifiedError as error:
                raise ConflictError(f"blob {name} is not what it was when it was read: read it again") from error
        return str(answer["etag"])

    def exists(self, name: str) -> bool:
        """See `BlobStore.exists`."""
        blob = self._blob(name)
        with self._explained(name):
            return blob.exists()

    def delete(self, name: str) -> bool:
        """See `BlobStore.delete`."""
        blob = self._blob(name)
        with suppress(BlobNotFound), self._explained(name):
            blob.delete_blob()
            return True
        return False

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """See `BlobStore.list`: page by page, in the containers that Haro knows."""
        for container in self._containers:
            if container.startswith(prefix) or prefix.startswith(container):
                client = self._service.get_container_client(container.removesuffix("/"))
                with self._explained(container):
                    for blob in client.list_blobs(name_starts_with=prefix[len(container) :] or None):
                        name = container + blob.name
                        if is_blob_name(name):  # others may have put theirs here
                            yield BlobInfo(name, blob.size, blob.last_modified)

    def uri(self, name: str) -> str:
        """See `BlobStore.uri`."""
        check_blob_name(name)
        return self._root + name

    def link(self, name: str, *, valid_s: float) -> str:
        """See `BlobStore.link`: for reading this blob alone, for `MAX_LINK_S` at most (else StorageError).

        The longest ends an hour and a quarter early, so that one key can serve many.
        """
        uri = self.uri(name)
        if not 0 < valid_s <= MAX_LINK_S:
            raise StorageError(f"a link to {name} for {valid_s:g} s: choose more than 0 and at most {MAX_LINK_S:g} s")
        with self._explained(name):
            return f"{uri}?{self._signer.sign(name, min(timedelta(seconds=valid_s), _LONGEST_LINK))}"

    def _blob(self, name: str) -> BlobClient:
        check_blob_name(name)
        container, _, path = name.partition("/")
        return self._service.get_blob_client(container, path)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Errors of the SDK as ours, with its own behind them.

        Those may be logged: they quote addresses and answers, while tokens and signatures of ours are in headers alone.
        """
        where = f"blob {name} in account {self._service.account_name}"
        try:
            yield
        except ResourceNotFoundError as error:
            if _code(error) == StorageErrorCode.CONTAINER_NOT_FOUND:
                container = name.partition("/")[0]
                raise StorageError(f"{where}: there is no container {container}; deploy infra/ again") from error
            raise BlobNotFound(f"no {where}") from error
        except AzureError as error:
            status = getattr(error, "status_code", None)
            if status is None:  # also where no token was to be had
                cause = type(error).__name__
                raise StorageError(f"{where}: no answer ({cause}); check network and identity, try again") from error
            cure = "give this identity its role on the account" if status in _REFUSED else "try again later"
            raise StorageError(f"{where}: answered {status} {_code(error)}; {cure}") from error


def _content(name: str) -> ContentSettings:
    return ContentSettings(_CONTENT_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream"))


def _code(error: AzureError) -> str:
    """What the service calls the error, as the SDK read it from the answer."""
    code = getattr(error, "error_code", None)
    return code.value if isinstance(code, StorageErrorCode) else str(code or type(error).__name__)


class _Signer:
    """Signs what a link may do: read one blob, until its end."""

    def __init__(self, service: BlobServiceClient, now: Callable[[], datetime]) -> None:
        self._service = service
        self._now = now
        self._account_key: str | None = getattr(service.credential, "account_key", None)
        self._protocol = "https" if service.url.startswith("https:") else "https,http"  # emulators speak plain http
        self._lock = threading.Lock()
        self._key: tuple[UserDelegationKey, datetime] | None = None

    def sign(self, name: str, valid: timedelta) -> str:
        """The query string that opens the blob for so long."""
        now = self._now()
        container, _, path = name.partition("/")
        return generate_blob_sas(
            str(self._service.account_name),
            container,
            path,
            account_key=self._account_key,
            user_delegation_key=None if self._account_key else self._delegation_key(now, now + valid),
            permission=BlobSasPermissions(read=True),
            start=now - _CLOCK_SKEW,
            expiry=now + valid,
            protocol=self._protocol,
        )

    def _delegation_key(self, now: datetime, until: datetime) -> UserDelegationKey:
        """A key that outlives the link; one serves for all links that end before it does."""
        with self._lock:
            if self._key is None or self._key[1] < until:
                ends = now + _KEY_LIFE
                self._key = self._service.get_user_delegation_key(now - _CLOCK_SKEW, ends), ends
            return self._key[0]


def ensure_containers(service: BlobServiceClient, names: Iterable[str]) -> None:
    """Make the containers that are not there yet: for emulators. In Azure, infra/ makes them."""
    for name in names:
        with suppress(ResourceExistsError):
            service.create_container(name)
