"""What an indexing policy allows: which queries are refused, which need a scan.

Sources: "Indexing policies in Azure Cosmos DB" (id and _ts are always indexed, the longer path wins, several ORDER BY
terms need a composite index of exactly these paths, in these directions or all reversed) and the service's own words.
"""

from __future__ import annotations

from typing import Any

from tests.emulators.cosmos.errors import bad_request
from tests.emulators.cosmos.sql import Path, Query

_ALWAYS = {("id",), ("_ts",)}


def check_order(query: Query, policy: dict[str, Any]) -> None:
    """Raise CosmosError (400) for an ORDER BY that no index serves."""
    orders = query.order_by
    if len(orders) == 1 and not _is_indexed(orders[0].path, policy):
        raise bad_request("The index path corresponding to the specified order-by item is excluded.")
    if len(orders) > 1:
        asked = [("/" + "/".join(order.path), order.descending) for order in orders]
        turned = [(path, not descending) for path, descending in asked]
        composites = [
            [(one["path"], one.get("order", "ascending").lower() == "descending") for one in composite]
            for composite in policy.get("compositeIndexes", [])
        ]
        if asked not in composites and turned not in composites:
            raise bad_request(
                "The order by query does not have a corresponding composite index that it can be served from."
            )


def needs_scan(query: Query, policy: dict[str, Any]) -> bool:
    """Whether the filter looks at a path that is not indexed."""
    return not all(_is_indexed(path, policy) for path in query.where_paths)


def _is_indexed(path: Path, policy: dict[str, Any]) -> bool:
    if path in _ALWAYS:
        return True
    included = _longest(path, policy.get("includedPaths", []))
    return included > _longest(path, policy.get("excludedPaths", []))


def _longest(path: Path, patterns: list[dict[str, Any]]) -> int:
    """Weight of the most exact of the patterns that cover the path: its length, `/?` before `/*`; -1 for none."""
    best = -1
    for pattern in patterns:
        *names, end = [name.strip('"') for name in pattern["path"].split("/")[1:]]
        covers = tuple(names) == path if end == "?" else path[: len(names)] == tuple(names)
        if covers:
            best = max(best, 2 * len(names) + (end == "?"))
    return best
