"""The port's queries in Cosmos DB's query language, and its order of documents.

Absent, null and other types beside strings and numbers are why an ordered query is up to three: Cosmos DB's SDK puts
together the answers of several physical partitions only while the values it orders by are all of one type, and whether
documents without the field come at all depends on the index. So each type is asked for by itself, in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.storage.ports import Container, Json, Scalar, check_field


@dataclass(frozen=True)
class Selection:
    """A SELECT: conditions with values for their parameters, terms of ORDER BY, a TOP."""

    conditions: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    order: tuple[str, ...] = ()
    count: int | None = None
    only_strings_of: str | None = None  # a field that the conditions allow to be a string only

    @classmethod
    def of(
        cls,
        *,
        where: Mapping[str, Scalar] | None,
        since: tuple[str, str] | None,
        until: tuple[str, str] | None,
        order_by: str | None,
    ) -> Selection:
        """The documents that `DocumentStore.query` would find. Raises StorageError for a field's name that is none."""
        if order_by is not None:
            check_field(order_by)
        selection = cls()
        for field, value in (where or {}).items():
            if value is None:
                selection = selection.narrowed(f"(NOT IS_DEFINED({_at(field)}) OR IS_NULL({_at(field)}))")
            else:
                selection = selection.narrowed(f"{_at(field)} = @", value)  # types count: true is not 1
        for bound, sign in ((since, ">="), (until, "<")):
            if bound is not None:
                selection = selection.narrowed(f"{_at(bound[0])} {sign} @", bound[1])  # of strings with strings alone
                if bound[0] == order_by:
                    selection = replace(selection, only_strings_of=order_by)
        return selection

    def narrowed(self, condition: str, *values: Any) -> Selection:
        """With one condition more; `@` in it stands for the value."""
        named = condition.replace("@", f"@p{len(self.values)}")
        return replace(self, conditions=(*self.conditions, named), values=(*self.values, *values))

    def ordered(self, order_by: str | None, *, descending: bool) -> Iterator[Selection]:
        """One after the other, these give the documents in the port's order."""
        way = "DESC" if descending else "ASC"
        by_id = (f"{_at('id')} {way}",)
        if order_by is None:
            yield replace(self, order=by_id)
            return
        field = _at(order_by)
        by_field = replace(self, order=(f"{field} {way}", *by_id))
        strings = by_field.narrowed(f"IS_STRING({field})")
        if self.only_strings_of == order_by:
            yield strings
            return
        neither = replace(self, order=by_id).narrowed(f"NOT IS_NUMBER({field})").narrowed(f"NOT IS_STRING({field})")
        groups = (neither, by_field.narrowed(f"IS_NUMBER({field})"), strings)
        yield from reversed(groups) if descending else groups

    def top(self, count: int) -> Selection:
        """The first so many of it."""
        return replace(self, count=count)

    def text(self) -> str:
        """The query. Field names were checked, values are parameters."""
        top = "" if self.count is None else f"TOP {self.count} "
        where = f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        order = f" ORDER BY {', '.join(self.order)}" if self.order else ""
        return f"SELECT {top}* FROM c{where}{order}"  # noqa: S608 - see the docstring

    def parameters(self) -> list[dict[str, object]]:
        """Its parameters, as the SDK takes them."""
        return [{"name": f"@p{number}", "value": value} for number, value in enumerate(self.values)]


def sorted_as_the_port_says(
    bodies: Iterable[Json], container: Container, *, order_by: str | None, descending: bool
) -> list[Json]:
    """By the field (neither number nor string first, then numbers, then strings), by id, and by partition at last."""

    def key(body: Json) -> tuple[int, float | str, str, str]:
        value = None if order_by is None else body.get(order_by)
        keys = str(body["id"]), str(body[container.partition_key])
        if isinstance(value, str):
            return 2, value, *keys
        if isinstance(value, int | float) and not isinstance(value, bool):
            return 1, value, *keys
        return 0, 0, *keys

    return sorted(bodies, key=key, reverse=descending)


def _at(field: str) -> str:
    return f'c["{check_field(field)}"]'
