"""The query language, as far as Haro goes: SELECT [TOP n] ... FROM c [WHERE ...] [ORDER BY ...] [OFFSET n LIMIT m]."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.emulators.cosmos.errors import bad_request
from tests.emulators.cosmos.sql import Expression, Order, Parameters, Path, Query, at
from tests.emulators.cosmos.values import UNDEFINED, Value, compare, equal, type_rank

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>-?\d+(?:\.\d+)?)|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<parameter>@\w+)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<sign><=|>=|!=|<>|[=<>(){}\[\],.:*]))"""
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONSTANTS: dict[str, Value] = {"TRUE": True, "FALSE": False, "NULL": None, "UNDEFINED": UNDEFINED}
_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "IS_DEFINED": lambda value: value is not UNDEFINED,
    "IS_NULL": lambda value: value is None,
    "IS_BOOL": lambda value: type_rank(value) == 2,
    "IS_NUMBER": lambda value: type_rank(value) == 3,
    "IS_STRING": lambda value: type_rank(value) == 4,
    "STARTSWITH": lambda text, start: text.startswith(start) if type_rank(text) == type_rank(start) == 4 else UNDEFINED,
    "CONTAINS": lambda text, part: part in text if type_rank(text) == type_rank(part) == 4 else UNDEFINED,
}


def parse(text: str) -> Query:
    """Read a query. Raises CosmosError (400) for anything this emulator does not know."""
    return _Parser(text).query()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise bad_request(f"Syntax error, incorrect syntax near '{text[position:].strip()[:20]}'.")
        tokens.append(_Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup), match.end()))
        position = match.end()
    return [*tokens, _Token("end", "", len(text), len(text))]


class _Parser:
    """Recursive descent: a method per rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._index = 0
        self._paths: set[Path] = set()
        self._alias = ""

    def query(self) -> Query:
        self._alias = self._alias_ahead()
        self._need("SELECT")
        top = self._primary() if self._take("TOP") else None
        query = Query(self._selection(), alias=self._alias, top=top)
        self._need("FROM")
        self._index += 1  # the alias, found before
        self._paths.clear()
        if self._take("WHERE"):
            start = self._here.start
            query.where = self._either()
            query.where_text = self._text[start : self._tokens[self._index - 1].end]
            query.where_paths = set(self._paths)
        if self._take("ORDER"):
            self._need("BY")
            query.order_by = tuple(self._list(self._order))
        if self._take("OFFSET"):
            query.offset = self._primary()
            self._need("LIMIT")
            query.limit = self._primary()
        if self._here.kind != "end":
            raise self._wrong()
        return query

    @property
    def _here(self) -> _Token:
        return self._tokens[self._index]

    def _wrong(self) -> Exception:
        return bad_request(f"Syntax error, incorrect syntax near '{self._here.text}'.")

    def _take(self, text: str) -> bool:
        if self._here.kind in {"word", "sign"} and self._here.text.upper() == text:
            self._index += 1
            return True
        return False

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise self._wrong()

    def _alias_ahead(self) -> str:
        for token, after in zip(self._tokens, self._tokens[1:], strict=False):
            if token.kind == "word" and token.text.upper() == "FROM" and after.kind == "word":
                return after.text
        raise bad_request("Syntax error: a query selects FROM something.")

    def _list(self, item: Callable[[], Any]) -> list[Any]:
        items = [item()]
        while self._take(","):
            items.append(item())
        return items

    def _selection(self) -> Expression:
        if self._take("*"):
            return lambda document, _: document
        if self._take("VALUE"):
            return self._either()
        columns = self._list(self._column)
        return _made_object(columns)

    def _column(self) -> tuple[str, Expression]:
        expression = self._either()
        last = [token.text for token in self._tokens[: self._index] if token.kind in {"word", "text"}][-1]
        name = last.strip("\"'")
        if self._take("AS"):
            name = self._here.text
            self._index += 1
        return name, expression

    def _order(self) -> Order:
        start = self._here.start
        path = self._path()
        text = self._text[start : self._tokens[self._index - 1].end]
        descending = self._take("DESC")
        if not descending:
            self._take("ASC")
        return Order(path, text, descending)

    def _path(self) -> Path:
        if self._here.kind != "word" or self._here.text != self._alias:
            raise self._wrong()
        self._index += 1
        names: list[str] = []
        while self._here.text in {".", "["} and self._here.kind == "sign":
            dotted = self._take(".")
            if not dotted:
                self._need("[")
            if self._here.kind != ("word" if dotted else "text"):
                raise self._wrong()
            names.append(self._here.text if dotted else _unquoted(self._here.text))
            self._index += 1
            if not dotted:
                self._need("]")
        self._paths.add(tuple(names))
        return tuple(names)

    def _either(self) -> Expression:
        terms = [self._both()]
        while self._take("OR"):
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else _any_of(terms)

    def _both(self) -> Expression:
        terms = [self._denied()]
        while self._take("AND"):
            terms.append(self._denied())
        return terms[0] if len(terms) == 1 else _all_of(terms)

    def _denied(self) -> Expression:
        if self._take("NOT"):
            inner = self._denied()
            return lambda document, given: not value if isinstance(value := inner(document, given), bool) else UNDEFINED
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._primary()
        sign = self._here.text
        if self._here.kind != "sign" or sign not in {"=", "!=", "<>", *_COMPARISONS}:
            return left
        self._index += 1
        right = self._primary()
        if sign in _COMPARISONS:
            return lambda document, given: compare(left(document, given), right(document, given), _COMPARISONS[sign])
        if sign == "=":
            return lambda document, given: equal(left(document, given), right(document, given))
        return lambda document, given: (
            not same if isinstance(same := equal(left(document, given), right(document, given)), bool) else UNDEFINED
        )

    def _primary(self) -> Expression:
        token = self._here
        if token.kind == "word" and token.text == self._alias:
            path = self._path()
            return lambda document, _: at(document, path)
        if token.kind == "sign":
            return self._enclosed()
        self._index += 1
        if token.kind == "parameter":
            return lambda _, given: given.get(token.text, UNDEFINED)
        name = token.text.upper()
        if token.kind == "word" and name in _FUNCTIONS:
            return self._call(_FUNCTIONS[name])
        if token.kind == "number":
            constant: Value = float(token.text) if "." in token.text else int(token.text)
        elif token.kind == "text":
            constant = _unquoted(token.text)
        elif token.kind == "word" and name in _CONSTANTS:
            constant = _CONSTANTS[name]
        else:
            self._index -= 1
            raise self._wrong()
        return lambda *_: constant

    def _enclosed(self) -> Expression:
        if self._take("("):
            inner = self._either()
            self._need(")")
            return inner
        if self._take("["):
            items = self._list(self._either)
            self._need("]")
            return lambda document, given: [item(document, given) for item in items]
        self._need("{")
        members = self._list(self._member)
        self._need("}")
        return _made_object(members)

    def _member(self) -> tuple[str, Expression]:
        name = _unquoted(self._here.text) if self._here.kind == "text" else self._here.text
        self._index += 1
        self._need(":")
        return name, self._either()

    def _call(self, function: Callable[..., Value]) -> Expression:
        self._need("(")
        arguments = self._list(self._either)
        self._need(")")
        return lambda document, given: function(*(argument(document, given) for argument in arguments))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _made_object(members: list[tuple[str, Expression]]) -> Expression:
    def make(document: Any, given: Parameters) -> Value:
        made = {name: expression(document, given) for name, expression in members}
        return {name: value for name, value in made.items() if value is not UNDEFINED}

    return make


def _all_of(terms: list[Expression]) -> Expression:
    """False where one is, else undefined where one is no boolean, else true."""

    def holds(document: Any, given: Parameters) -> Value:
        values = [term(document, given) for term in terms]
        if any(value is False for value in values):
            return False
        return True if all(value is True for value in values) else UNDEFINED

    return holds


def _any_of(terms: list[Expression]) -> Expression:
    """True where one is, else undefined where one is no boolean, else false."""

    def holds(document: Any, given: Parameters) -> Value:
        values = [term(document, given) for term in terms]
        if any(value is True for value in values):
            return True
        return False if all(value is False for value in values) else UNDEFINED

    return holds
