"""The plan of a query over all partitions: the client asks each, and puts the answers together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.emulators.cosmos.sql import Query


def needs_plan(query: Query) -> bool:
    """Whether the gateway leaves a query over all partitions to the client."""
    return bool(query.order_by) or query.top is not None or query.offset is not None


def query_plan(query: Query, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """What the client must know: order, counts, and the query that each partition is to be asked."""
    info = {
        "distinctType": "None",
        "top": query.count(query.top, parameters),
        "offset": query.count(query.offset, parameters),
        "limit": query.count(query.limit, parameters),
        "orderBy": ["Descending" if order.descending else "Ascending" for order in query.order_by],
        "orderByExpressions": [order.text for order in query.order_by],
        "groupByExpressions": [],
        "aggregates": [],
        "hasSelectValue": False,
        "rewrittenQuery": _rewritten(query, parameters) if query.order_by else "",
    }
    everywhere = {"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}
    return {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": [everywhere]}


def _rewritten(query: Query, parameters: Mapping[str, Any]) -> str:
    """The query with each result wrapped beside the values it is ordered by (of SELECT * alone)."""
    alias = query.alias
    items = ", ".join(f'{{"item": {order.text}}}' for order in query.order_by)
    terms = ", ".join(f"{order.text} {'DESC' if order.descending else 'ASC'}" for order in query.order_by)
    top = query.count(query.top, parameters)
    selected = (
        f"SELECT {'' if top is None else f'TOP {top} '}{alias}._rid, [{items}] AS orderByItems, {alias} AS payload"
    )
    filtered = f"({query.where_text}) AND ({{documentdb-formattableorderbyquery-filter}})"
    text = f"{selected} FROM {alias} WHERE {filtered} ORDER BY {terms}"
    if query.offset is None:
        return text
    reach = (query.count(query.offset, parameters) or 0) + (query.count(query.limit, parameters) or 0)
    return f"{text} OFFSET 0 LIMIT {reach}"
