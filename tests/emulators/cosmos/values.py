"""JSON values as Cosmos DB compares them: `undefined` beside null, types apart, all numbers doubles."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final


class Undefined:
    """The type of `UNDEFINED`: what a path leads to that is not there."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED: Final = Undefined()
Value = Any  # a JSON value, or UNDEFINED


def type_rank(value: Value) -> int:
    """The place of the value's type in the order of types: undefined, null, booleans, numbers, strings, the rest."""
    kinds: tuple[type | tuple[type, ...], ...] = (Undefined, type(None), bool, (int, float), str, list, dict)
    return next(rank for rank, kind in enumerate(kinds) if isinstance(value, kind))


def sort_key(value: Value) -> tuple[int, Any]:
    """By type first; arrays and objects by their text, which is an order, though not the real one."""
    rank = type_rank(value)
    if rank in {2, 3, 4}:
        return rank, value
    return rank, json.dumps(value, sort_keys=True) if rank > 4 else 0


def equal(left: Value, right: Value) -> Value:
    """Equality; undefined when either side is."""
    if left is UNDEFINED or right is UNDEFINED:
        return UNDEFINED
    return type_rank(left) == type_rank(right) and bool(left == right)


def compare(left: Value, right: Value, holds: Callable[[Any, Any], bool]) -> Value:
    """An order of two booleans, numbers or strings; undefined for anything else, and between types."""
    if type_rank(left) != type_rank(right) or type_rank(left) not in {2, 3, 4}:
        return UNDEFINED
    return holds(left, right)


def as_doubles(value: Any) -> Any:
    """The value as it is read back after all its numbers were kept as 64-bit floats."""
    match value:
        case bool():
            return value
        case int() | float():
            number = float(value)
            return int(number) if number.is_integer() and abs(number) < 1e21 else number
        case list():
            return [as_doubles(item) for item in value]
        case dict():
            return {name: as_doubles(item) for name, item in value.items()}
        case _:
            return value
