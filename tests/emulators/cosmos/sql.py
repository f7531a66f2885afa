"""A query that was read, and what it selects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.cosmos.errors import bad_request
from tests.emulators.cosmos.values import UNDEFINED, Value, sort_key, type_rank

Path = tuple[str, ...]
Parameters = Mapping[str, Any]
Expression = Callable[[Any, Parameters], Value]  # of a document and the query's parameters


@dataclass(frozen=True)
class Order:
    """One term of ORDER BY: its path, its text in the query, its direction."""

    path: Path
    text: str
    descending: bool


@dataclass
class Query:
    """A query that was read; `where_paths` are all paths that its filter looks at."""

    select: Expression
    alias: str = "c"
    top: Expression | None = None
    where: Expression | None = None
    where_text: str = "true"
    where_paths: set[Path] = field(default_factory=set)
    order_by: tuple[Order, ...] = ()
    offset: Expression | None = None
    limit: Expression | None = None

    def count(self, expression: Expression | None, parameters: Parameters) -> int | None:
        """The value of TOP, OFFSET or LIMIT. Raises CosmosError unless it is a whole number, 0 or more."""
        if expression is None:
            return None
        value = expression(None, parameters)
        if type_rank(value) != 3 or value != int(value) or value < 0:
            raise bad_request("The TOP, OFFSET and LIMIT counts must be non-negative integers.")
        return int(value)

    def run(self, documents: Iterable[Any], parameters: Parameters) -> list[Any]:
        """What the query selects, in its order. Documents are taken in the order in which they come."""
        found = [one for one in documents if self.where is None or self.where(one, parameters) is True]
        for order in reversed(self.order_by):
            found.sort(key=lambda one, path=order.path: sort_key(at(one, path)), reverse=order.descending)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        offset, limit = self.count(self.offset, parameters) or 0, self.count(self.limit, parameters)
        top = self.count(self.top, parameters)
        found = found[offset:] if limit is None else found[offset : offset + limit]
        selected = (self.select(one, parameters) for one in (found if top is None else found[:top]))
        return [one for one in selected if one is not UNDEFINED]


def at(document: Any, path: Path) -> Value:
    """What lies at the path."""
    for name in path:
        document = document.get(name, UNDEFINED) if isinstance(document, dict) else UNDEFINED
    return document
