"""What the account holds: databases, containers, documents with etags and an end, and the feed of their changes."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from tests.emulators.cosmos.errors import CosmosError, bad_request, conflict, not_found, precondition_failed
from tests.emulators.cosmos.values import as_doubles

Json = dict[str, Any]
Clock = Callable[[], datetime]

_SYSTEM = ("_rid", "_self", "_etag", "_attachments", "_ts", "_lsn")
_MAX_BYTES = 2 * 1024 * 1024
_EVERYTHING = {
    "indexingMode": "consistent",
    "automatic": True,
    "includedPaths": [{"path": "/*"}],
    "excludedPaths": [{"path": '/"_etag"/?'}],
}


class Resources:
    """Databases, or the containers of one: named definitions."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._held: dict[str, Any] = {}

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held.values())

    def add(self, name: str, made: Any) -> None:
        """Keep it. Raises CosmosError (409) when the name is taken."""
        if name in self._held:
            raise conflict(self.kind)
        self._held[name] = made

    def get(self, name: str, *, substatus: int = 0) -> Any:
        """What is held under the name. Raises CosmosError (404)."""
        if name not in self._held:
            raise not_found(self.kind, substatus=substatus)
        return self._held[name]

    def remove(self, name: str) -> None:
        """Forget it. Raises CosmosError (404)."""
        self.get(name)
        del self._held[name]


class Database:
    """A named set of containers."""

    def __init__(self, body: Json, stamp: Json) -> None:
        self.body = {"id": body["id"], **stamp, "_self": f"dbs/{body['id']}/", "_colls": "colls/", "_users": "users/"}
        self.containers = Resources("Container")


class Container:
    """Documents by partition key and id, spread over physical partitions by a hash of the partition key.

    `definition` is what it was created with (partition key, TTL, indexing and vector policies), as it is read back.
    """

    def __init__(self, definition: Json, stamp: Json, *, link: str, ranges: int, clock: Clock) -> None:
        if not definition.get("partitionKey", {}).get("paths"):
            raise bad_request("A container needs a partition key definition.")
        self.definition = {"indexingPolicy": _EVERYTHING, **definition, **stamp, "_self": link, "_docs": "docs/"}
        self.rid: str = stamp["_rid"]
        self._ranges = ranges
        self._clock = clock
        self._link = link
        self._documents: dict[tuple[str, str], Json] = {}
        self._lsn = 0
        self._numbers = itertools.count(1)

    @property
    def policy(self) -> Json:
        """The indexing policy."""
        policy: Json = self.definition["indexingPolicy"]
        return policy

    @property
    def lsn(self) -> int:
        """The number of the last write."""
        return self._lsn

    def pk_ranges(self) -> list[Json]:
        """The physical partitions, as clients ask for them."""
        bounds = ["", *(f"{256 * n // self._ranges:02X}" for n in range(1, self._ranges)), "FF"]
        return [
            {
                "id": str(n),
                "_rid": self.rid,
                "minInclusive": low,
                "maxExclusive": high,
                "status": "online",
                "parents": [],
            }
            for n, (low, high) in enumerate(itertools.pairwise(bounds))
        ]

    def documents(self, *, partition: str | None = None, pk_range: str | None = None) -> list[Json]:
        """The documents that are alive, in the order of their creation: all, or of a logical or physical partition."""
        self._end_what_is_over()
        return [
            document
            for (key, _), document in self._documents.items()
            if partition in {None, key} and (pk_range is None or self._range_of(key) == pk_range)
        ]

    def changes(self, since: int, *, partition: str | None = None, pk_range: str | None = None) -> list[Json]:
        """The documents whose last write came after number `since`, in the order of these writes."""
        found = self.documents(partition=partition, pk_range=pk_range)
        return sorted((one for one in found if one["_lsn"] > since), key=lambda one: int(one["_lsn"]))

    def read(self, partition: str, doc_id: str) -> Json:
        """The document. Raises CosmosError (404)."""
        self._end_what_is_over()
        document = self._documents.get((partition, doc_id))
        if document is None:
            raise not_found("Entity")
        return document

    def create(self, partition: str | None, body: Json, *, upsert: bool = False, if_match: str | None = None) -> Json:
        """Write a new document. Raises CosmosError: 409 when there is one, unless `upsert`; 400 for a wrong body."""
        key = self._checked(partition, body)
        self._end_what_is_over()
        old = self._documents.get(key)
        if old is not None and not upsert:
            raise conflict("Entity")
        if if_match is not None and (old is None or if_match not in {"*", old["_etag"]}):
            raise precondition_failed()
        return self._write(key, body)

    def replace(self, partition: str | None, doc_id: str, body: Json, *, if_match: str | None) -> Json:
        """Write over a document. Raises CosmosError: 404, 412 when `if_match` is not its etag, 400."""
        key = self._checked(partition, body)
        if key[1] != doc_id:
            raise bad_request("The id of the document does not match the one in the address.")
        self._matching(key, if_match)
        return self._write(key, body)

    def delete(self, partition: str, doc_id: str, *, if_match: str | None) -> None:
        """Remove a document. Raises CosmosError: 404, 412."""
        self._matching((partition, doc_id), if_match)
        del self._documents[partition, doc_id]

    def _matching(self, key: tuple[str, str], if_match: str | None) -> None:
        if if_match not in {None, "*", self.read(*key)["_etag"]}:
            raise precondition_failed()

    def _checked(self, partition: str | None, body: Json) -> tuple[str, str]:
        doc_id = body.get("id")
        if not isinstance(doc_id, str) or not doc_id or len(doc_id.encode()) > 1023 or set(doc_id) & set("/\\?#"):
            raise bad_request("The input content is invalid because the required properties - 'id; ' - are missing")
        (path,) = self.definition["partitionKey"]["paths"]
        own = partition_text(body.get(path[1:], {}))
        if partition is not None and partition != own:
            raise bad_request(
                "PartitionKey extracted from document doesn't match the one specified in the header", substatus=1001
            )
        if len(json.dumps(body).encode()) > _MAX_BYTES:
            raise CosmosError(413, "Request size is too large")
        return own, doc_id

    def _write(self, key: tuple[str, str], body: Json) -> Json:
        self._lsn += 1
        old = self._documents.get(key)
        rid = old["_rid"] if old else _rid(self.rid, next(self._numbers))
        self._documents[key] = {
            **as_doubles({name: value for name, value in body.items() if name not in _SYSTEM}),
            "_rid": rid,
            "_self": f"{self._link}docs/{rid}/",
            "_etag": f'"{uuid.uuid4()}"',
            "_attachments": "attachments/",
            "_ts": int(self._clock().timestamp()),
            "_lsn": self._lsn,
        }
        return self._documents[key]

    def _end_what_is_over(self) -> None:
        default = self.definition.get("defaultTtl")
        if default is None:
            return  # a document's own `ttl` counts only where the container has a default
        now = self._clock().timestamp()
        for key, document in list(self._documents.items()):
            ttl = document.get("ttl", default)
            if ttl != -1 and now >= document["_ts"] + ttl:
                del self._documents[key]

    def _range_of(self, partition: str) -> str:
        return str(hashlib.sha256(partition.encode()).digest()[0] * self._ranges // 256)


class Account:
    """The databases, and what is stamped on all that is made."""

    def __init__(self, *, clock: Clock, ranges: int) -> None:
        self.databases = Resources("Database")
        self._clock = clock
        self._ranges = ranges
        self._numbers = itertools.count(1)

    def create_database(self, body: Json) -> Database:
        """Raises CosmosError (409)."""
        database = Database(body, self._stamp())
        self.databases.add(body["id"], database)
        return database

    def create_container(self, database: Database, definition: Json) -> Container:
        """Raises CosmosError: 409, 400."""
        link = f"{database.body['_self']}colls/{definition['id']}/"
        container = Container(definition, self._stamp(), link=link, ranges=self._ranges, clock=self._clock)
        database.containers.add(definition["id"], container)
        return container

    def _stamp(self) -> Json:
        number = next(self._numbers)
        return {"_rid": _rid("", number), "_etag": f'"{uuid.uuid4()}"', "_ts": int(self._clock().timestamp())}


def partition_text(value: Any) -> str:
    """A partition key's value as it stands in the request's header, in one spelling."""
    return json.dumps([value])


def _rid(parent: str, number: int) -> str:
    return parent + base64.b64encode(number.to_bytes(6, "big")).decode().replace("/", "-")
