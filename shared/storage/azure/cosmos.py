"""The documents of the cloud, in Cosmos DB for NoSQL."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import requests
from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.cosmos import ContainerProxy, DatabaseProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)
from requests.adapters import HTTPAdapter

from shared.errors import ConflictError, StorageError, UnknownMark
from shared.storage.azure.selection import Selection, sorted_as_the_port_says
from shared.storage.ports import (
    Changes,
    Container,
    Json,
    Scalar,
    Stored,
    check_limit,
    document_keys,
    document_text,
)

# For `CosmosClient(...)`. Refused for too many requests (429), a request is tried again when the service says, nine
# times or for 10 s in all; queries and changes ten times as often, for the SDK has one such loop inside another. That
# ends well within a lock of 5 minutes. A read whose answer was lost is sent three times more. A write is sent once
# (`retry_write`): a second `create` would find the document of the first and be taken for somebody else's.
CLIENT_OPTIONS: Final[Mapping[str, Any]] = {
    "retry_throttle_total": 9,
    "retry_throttle_backoff_max": 10,
    "retry_total": 3,
    "retry_backoff_max": 10,
    "retry_backoff_factor": 0.5,
    "retry_write": 0,
    "connection_timeout": 10,
    "read_timeout": 30,
}

_CONNECTIONS = 64  # more than all threads of a process ask for at once

_SYSTEM_FIELDS = frozenset({"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn", "_metadata"})
_OWNER_NOT_FOUND = 1003  # substatus of a 404: it is the container that is not there
_WHAT_TO_DO: dict[int, str] = {
    400: "the service does not take the request; its containers may be older than this Haro: deploy infra/ again",
    401: "the key is wrong, or the clock is",
    403: "this identity may not: give it the role Cosmos DB Built-in Data Contributor, and look at the firewall",
    404: "the database or container is not there: deploy infra/, and check HARO_COSMOS_DATABASE",
    413: "the document is larger than 2 MB",
    429: "more requests than it has throughput for, and waiting did not help: give it more",
}


def transport() -> RequestsTransport:
    """For `CosmosClient(transport=...)`, one each: keeps a connection for every thread of a poll.

    The SDK's own keeps ten; what more is asked for at once it makes, with its TLS handshake, for one request.
    """
    session = requests.Session()
    session.mount("https://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
    session.mount("http://", HTTPAdapter(pool_maxsize=_CONNECTIONS))
    return RequestsTransport(session=session)


class CosmosDocuments:
    """A `DocumentStore` over containers that are there already (see `indexing`).

    Safe for several threads, as the SDK's clients are. Conflicts are found by etag. `create` returning False means
    that another call wrote the document, for the SDK never sends a write twice; a `create` or `replace` whose answer
    is lost raises StorageError, and whether it was done is then not known: do it again, as with a crash in between.
    Fields that Cosmos DB keeps for itself (`_rid`, `_etag`, `_ts` and so on) are taken out of what is read, and cannot
    be written.

    Args:
        database: Gives the database, of a client made with `CLIENT_OPTIONS`. Raises StorageError.
        containers: What may be used of it.
        page_items: The most documents that one call of `changes` brings.
    """

    def __init__(
        self, database: Callable[[], DatabaseProxy], containers: Iterable[Container], *, page_items: int = 100
    ) -> None:
        self._database = database
        self._names = frozenset(container.name for container in containers)
        self._proxies: dict[str, ContainerProxy] = {}
        self._page_items = page_items

    def create(self, container: Container, body: Json) -> bool:
        """See `DocumentStore.create`."""
        proxy, _ = self._checked(container, body)
        with _explained(f"cannot create in {container.name}"):
            try:
                proxy.create_item(body)
            except CosmosResourceExistsError:
                return False
        return True

    def get(self, container: Container, partition: str, doc_id: str) -> Stored | None:
        """See `DocumentStore.get`."""
        proxy = self._proxy(container)
        if not _can_be(container, partition, doc_id):
            return None
        with _explained(f"cannot read {container.name}"):
            try:
                return _stored(proxy.read_item(doc_id, partition_key=partition))
            except CosmosResourceNotFoundError as error:
                _check_container_is_there(error)
        return None

    def replace(self, container: Container, body: Json, *, etag: str) -> str:
        """See `DocumentStore.replace`."""
        proxy, (partition, doc_id) = self._checked(container, body)
        with _explained(f"cannot write {container.name}"):
            try:
                written = proxy.replace_item(doc_id, body, etag=etag, match_condition=MatchConditions.IfNotModified)
                return str(written["_etag"])
            except CosmosResourceNotFoundError as error:
                _check_container_is_there(error)
            except CosmosAccessConditionFailedError:
                pass  # said below
        key = f"{container.name}/{partition}/{doc_id}"
        raise ConflictError(f"{key} was written or deleted since it was read: read it again, then decide")

    def delete(self, container: Container, partition: str, doc_id: str) -> bool:
        """See `DocumentStore.delete`."""
        proxy = self._proxy(container)
        if not _can_be(container, partition, doc_id):
            return False
        with _explained(f"cannot delete a document of {container.name}"):
            try:
                proxy.delete_item(doc_id, partition_key=partition)
            except CosmosResourceNotFoundError as error:
                _check_container_is_there(error)
                return False
        return True

    def query(
        self,
        container: Container,
        *,
        partition: str | None = None,
        where: Mapping[str, Scalar] | None = None,
        since: tuple[str, str] | None = None,
        until: tuple[str, str] | None = None,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Stored]:
        """See `DocumentStore.query`.

        With a limit, and `order_by` nothing or an indexed field, the service sorts and sends no more than is asked for.
        Everything else is sorted here.
        """
        check_limit(limit)
        proxy = self._proxy(container)
        selection = Selection.of(where=where, since=since, until=until, order_by=order_by)
        if limit is None or (order_by is not None and order_by not in container.indexed):
            found = self._select(proxy, partition, selection)
            ordered = sorted_as_the_port_says(found, container, order_by=order_by, descending=descending)
            return [_stored(body) for body in ordered[:limit]]
        found = []
        for ordered_query in selection.ordered(order_by, descending=descending):
            if len(found) < limit:
                found += self._select(proxy, partition, ordered_query.top(limit - len(found)))
        return [_stored(body) for body in found]

    def changes(self, container: Container, *, after: str = "") -> Changes:
        """See `DocumentStore.changes`; a mark is the SDK's continuation of the container's change feed.

        The first call of all brings up to `page_items` from each physical partition.
        """
        proxy = self._proxy(container)
        start: dict[str, Any] = {"continuation": after} if after else {"start_time": "Beginning"}
        if after and not _is_continuation(after):
            raise _unknown(container, after)
        # Headers from the hook: the client's `last_response_headers` are those of whichever thread was last.
        answers: list[Mapping[str, Any]] = []
        with _explained(f"cannot read the changes of {container.name}"):
            feed = proxy.query_items_change_feed(
                max_item_count=self._page_items, response_hook=lambda headers, _: answers.append(headers), **start
            )
            found: list[Json] = []
            try:
                for page in feed.by_page():
                    found += page
                    if _can_be_continued(str(answers[-1]["etag"])):
                        break
            except (ValueError, KeyError, TypeError) as error:  # how the SDK says that a continuation is no good
                raise _unknown(container, after) from error
        return Changes(tuple(map(_stored, found)), str(answers[-1]["etag"]), more=bool(found))

    def _select(self, proxy: ContainerProxy, partition: str | None, query: Selection) -> list[Json]:
        scope: dict[str, Any] = (
            {"enable_cross_partition_query": True} if partition is None else {"partition_key": partition}
        )
        with _explained(f"cannot query {proxy.id}"):
            # A filter on a field that is not indexed is a scan, and allowed: callers filter by such fields seldom.
            found = proxy.query_items(query.text(), parameters=query.parameters(), enable_scan_in_query=True, **scope)
            return [dict(body) for body in found]

    def _checked(self, container: Container, body: Json) -> tuple[ContainerProxy, tuple[str, str]]:
        proxy, keys = self._proxy(container), document_keys(container, body)
        document_text(body)
        return proxy, keys

    def _proxy(self, container: Container) -> ContainerProxy:
        """The container, read once: from then on a 404 is about a document, and the SDK knows its partition key."""
        if container.name not in self._names:
            raise StorageError(f"no container {container.name!r}; there are {', '.join(sorted(self._names))}")
        if container.name not in self._proxies:
            proxy = self._database().get_container_client(container.name)
            with _explained(f"cannot use container {container.name}"):
                proxy.read()
            self._proxies[container.name] = proxy
        return self._proxies[container.name]


def _stored(body: Mapping[str, Any]) -> Stored:
    return Stored({name: value for name, value in body.items() if name not in _SYSTEM_FIELDS}, str(body["_etag"]))


def _can_be(container: Container, partition: str, doc_id: str) -> bool:
    """Whether there can be such a document; an id that may not stand in an address is never sent in one."""
    try:
        document_keys(container, {container.partition_key: partition, "id": doc_id})
    except StorageError:
        return False
    return True


def _is_continuation(mark: str) -> bool:
    """Whether a mark has the form of the SDK's; it would take bare numbers too, of an older kind."""
    try:
        return isinstance(json.loads(base64.b64decode(mark, validate=True)), dict)
    except ValueError:
        return False


def _can_be_continued(mark: str) -> bool:
    """Whether each physical partition was read: the SDK (4.17) refuses its own marks where one was not."""
    state = json.loads(base64.b64decode(mark))
    return all(part["token"] is not None for part in state["continuation"]["continuation"])


def _unknown(container: Container, mark: str) -> UnknownMark:
    return UnknownMark(f"{mark[:60]!r} is no mark of the changes of {container.name}: read them from the start")


def _check_container_is_there(error: CosmosResourceNotFoundError) -> None:
    """Raise the error again when it is not just the document that is missing."""
    if error.sub_status == _OWNER_NOT_FOUND:
        raise error


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Errors of the SDK as ours: what was wanted, what the service said, what to do."""
    try:
        yield
    except CosmosHttpResponseError as error:
        advice = _WHAT_TO_DO.get(error.status_code or 0, "a passing fault of the service: try again later")
        raise StorageError(
            f"Cosmos DB: {what}: status {error.status_code}/{error.sub_status or 0}; {advice}"
        ) from error
    except ServiceResponseError as error:
        raise StorageError(
            f"Cosmos DB: {what}: the connection broke, and whether it was done is not known; do it again"
        ) from error
    except AzureError as error:
        raise StorageError(
            f"Cosmos DB: {what}: {type(error).__name__}; check the network, the endpoint and the identity"
        ) from error
