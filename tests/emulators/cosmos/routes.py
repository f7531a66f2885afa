"""What each address does: from a request that may be trusted to a response."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.cosmos.errors import CosmosError, bad_request, not_found
from tests.emulators.cosmos.grammar import parse
from tests.emulators.cosmos.indexes import check_order, needs_scan
from tests.emulators.cosmos.plan import needs_plan, query_plan
from tests.emulators.cosmos.store import Account, Container, Database, Resources, partition_text

_OWNER_NOT_FOUND = 1003
_QUERY = 2.3  # request units of a query, in each physical partition, beside what it finds: assumed, no published figure
_QUERY_TYPE = "application/query+json"


@dataclass(frozen=True)
class Request:
    """A request: the decoded parts of its path, its headers by lower-case name, its body."""

    method: str
    parts: tuple[str, ...]
    headers: Mapping[str, str]
    raw: bytes

    def json(self) -> Any:
        """The body. Raises CosmosError (400) when it is not JSON."""
        try:
            return json.loads(self.raw, parse_constant=_no_constant)
        except ValueError as error:
            raise bad_request(f"The request body is not valid JSON: {error}") from error

    def says(self, header: str) -> bool:
        """Whether the header holds `true`."""
        return self.headers.get(header, "").lower() == "true"

    @property
    def is_for_documents(self) -> bool:
        """Whether it is for documents, and not for the account, a database or a container."""
        return self.parts[4:5] == ("docs",)

    @property
    def is_query(self) -> bool:
        """Whether the body is a query rather than a document."""
        return self.says("x-ms-documentdb-isquery") or self.headers.get("content-type", "").startswith(_QUERY_TYPE)

    @property
    def partition(self) -> str | None:
        """The partition key's value it is about, as `partition_text` writes it."""
        header = self.headers.get("x-ms-documentdb-partitionkey")
        return None if header is None else partition_text(*json.loads(header))


@dataclass
class Response:
    """Status, body and headers of an answer, and the request units it costs."""

    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    charge: float = 1.0


class Routes:
    """The addresses of an account; `page_items` is the most documents in one answer."""

    def __init__(self, account: Account, *, page_items: int) -> None:
        self._account = account
        self.page_items = page_items

    def answer(self, request: Request, endpoint: str) -> Response:
        """Do what is asked. Raises CosmosError."""
        databases = self._account.databases
        match request.parts:
            case ():
                return Response(200, _account_page(endpoint))
            case ("dbs",):
                return self._feed(request, databases, "Databases")
            case ("dbs", name):
                return _one(request, databases, name, lambda database: database.body)
            case ("dbs", name, "colls", *below):
                return self._in_database(request, databases.get(name, substatus=_OWNER_NOT_FOUND), below)
        raise bad_request(f"{'/'.join(request.parts)} is not supported here")

    def _in_database(self, request: Request, database: Database, below: list[str]) -> Response:
        containers = database.containers
        match below:
            case []:
                return self._feed(request, containers, "DocumentCollections", database)
            case [name]:
                return _one(request, containers, name, lambda container: container.definition)
            case [name, "pkranges"]:
                return _pk_ranges(request, containers.get(name, substatus=_OWNER_NOT_FOUND))
            case [name, "docs"]:
                return self._documents(request, containers.get(name, substatus=_OWNER_NOT_FOUND))
            case [name, "docs", doc_id]:
                return _document(request, containers.get(name, substatus=_OWNER_NOT_FOUND), doc_id)
        raise bad_request(f"{'/'.join(request.parts)} is not supported here")

    def _feed(self, request: Request, held: Resources, name: str, database: Database | None = None) -> Response:
        if request.method == "POST" and not request.is_query:
            if database is None:
                return Response(201, self._account.create_database(request.json()).body)
            return Response(201, self._account.create_container(database, request.json()).definition)
        bodies = [one.body if database is None else one.definition for one in held]
        return Response(200, {"_rid": "", name: bodies, "_count": len(bodies)})

    def _documents(self, request: Request, container: Container) -> Response:
        if request.says("x-ms-cosmos-is-query-plan-request"):
            body = request.json()
            return Response(200, query_plan(parse(body["query"]), _parameters(body)), charge=0.0)
        if request.is_query:
            return self._query(request, container)
        if request.method == "POST":
            upsert = request.says("x-ms-documentdb-is-upsert")
            body = request.json()
            written = container.create(request.partition, body, upsert=upsert, if_match=request.headers.get("if-match"))
            return _written(201, written, request.raw)
        if "a-im" in request.headers:
            return self._changes(request, container)
        found = container.documents(partition=request.partition, pk_range=_pk_range(request))
        return self._page(request, container, [_shown(one) for one in found])

    def _query(self, request: Request, container: Container) -> Response:
        body = request.json()
        query, parameters = parse(body["query"]), _parameters(body)
        partition, pk_range = request.partition, _pk_range(request)
        if partition is None and pk_range is None:
            if not request.says("x-ms-documentdb-query-enablecrosspartition"):
                raise bad_request("Cross partition query is required but disabled.")
            if needs_plan(query):
                raise CosmosError(
                    400,
                    "The provided cross partition query can not be directly served by the gateway.",
                    substatus=1004,
                    extra={"additionalErrorInfo": json.dumps(query_plan(query, parameters))},
                )
        check_order(query, container.policy)
        scans = needs_scan(query, container.policy)
        if scans and not request.says("x-ms-documentdb-query-enable-scan"):
            raise bad_request(
                "An invalid query has been specified with filters against path(s) excluded from indexing. "
                "Consider adding allow scan header in the request."
            )
        looked_at = container.documents(partition=partition, pk_range=pk_range)
        response = self._page(request, container, query.run([_shown(one) for one in looked_at], parameters))
        asked = len(container.pk_ranges()) if partition is None and pk_range is None else 1
        response.charge = _QUERY * asked + 0.05 * response.body["_count"] + (0.05 * len(looked_at) if scans else 0.0)
        return response

    def _page(self, request: Request, container: Container, found: list[Any]) -> Response:
        asked = int(request.headers.get("x-ms-max-item-count") or -1)
        size = min(asked, self.page_items) if asked > 0 else self.page_items
        start = int(request.headers.get("x-ms-continuation") or 0)
        page = found[start : start + size]
        headers = {"x-ms-item-count": str(len(page))}
        if start + size < len(found):
            headers["x-ms-continuation"] = str(start + size)
        return Response(200, {"_rid": container.rid, "Documents": page, "_count": len(page)}, headers)

    def _changes(self, request: Request, container: Container) -> Response:
        """The incremental feed: 304 and the mark to go on from where there is nothing new."""
        mark = request.headers.get("if-none-match")
        if mark is not None and mark != "*" and not mark.strip('"').isdigit():
            raise bad_request("The continuation is not one of this container.")
        since = 0 if mark is None else container.lsn if mark == "*" else int(mark.strip('"'))
        found = container.changes(since, partition=request.partition, pk_range=_pk_range(request))
        asked = int(request.headers.get("x-ms-max-item-count") or -1)
        page = found[: min(asked, self.page_items) if asked > 0 else self.page_items]
        if not page:
            return Response(304, None, {"etag": f'"{container.lsn}"'})
        body = {"_rid": container.rid, "Documents": page, "_count": len(page)}
        return Response(200, body, {"etag": f'"{page[-1]["_lsn"]}"'}, charge=1.0 + 0.1 * len(page))


def _account_page(endpoint: str) -> dict[str, Any]:
    here = [{"name": "Loopback", "databaseAccountEndpoint": endpoint}]
    return {
        "id": "loopback",
        "_rid": "loopback",
        "writableLocations": here,
        "readableLocations": here,
        "enableMultipleWriteLocations": False,
        "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
        "queryEngineConfiguration": "{}",
    }


def _one(request: Request, held: Resources, name: str, body_of: Any) -> Response:
    if request.method == "DELETE":
        held.remove(name)
        return Response(204)
    return Response(200, body_of(held.get(name)))


def _pk_ranges(request: Request, container: Container) -> Response:
    headers = {"etag": '"1"'}
    if request.headers.get("if-none-match"):
        return Response(304, None, headers)
    ranges = container.pk_ranges()
    return Response(200, {"_rid": container.rid, "PartitionKeyRanges": ranges, "_count": len(ranges)}, headers)


def _document(request: Request, container: Container, doc_id: str) -> Response:
    partition, if_match = request.partition, request.headers.get("if-match")
    if partition is None:
        raise bad_request("PartitionKey value must be supplied for this operation.")
    match request.method:
        case "GET":
            found = _shown(container.read(partition, doc_id))
            return Response(200, found, {"etag": found["_etag"]}, charge=float(_kilobytes(json.dumps(found))))
        case "PUT":
            return _written(200, container.replace(partition, doc_id, request.json(), if_match=if_match), request.raw)
        case "DELETE":
            container.delete(partition, doc_id, if_match=if_match)
            return Response(204, charge=5.0)
    raise not_found(request.method)


def _written(status: int, document: dict[str, Any], raw: bytes) -> Response:
    shown = _shown(document)
    return Response(status, shown, {"etag": shown["_etag"]}, charge=5.0 * _kilobytes(raw))


def _kilobytes(data: str | bytes) -> int:
    """Request units go by the kilobyte: 1 for a point read, 5 for a write (the pricing page's figures)."""
    return -(-len(data) // 1024)


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    """As reads and queries give it: `_lsn` is for the change feed alone."""
    return {name: value for name, value in document.items() if name != "_lsn"}


def _pk_range(request: Request) -> str | None:
    return request.headers.get("x-ms-documentdb-partitionkeyrangeid")


def _parameters(body: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in body.get("parameters") or []}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
