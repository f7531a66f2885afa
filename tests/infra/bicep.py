"""A small reader of Bicep: what a file declares, as plain values.

It rests on the grammar tree-sitter-bicep, which knows the syntax and no types. An expression that is no literal is kept
as `Expression`, its source text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))


class Expression(str):
    """The source of an expression that is no literal."""

    __slots__ = ()


@dataclass(frozen=True)
class Parameter:
    """A `param`: its type as written, whether it has a default, and its decorators with their arguments."""

    name: str
    type: str
    default: Any
    has_default: bool
    decorators: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Resource:
    """A `resource`, with those nested in it, whose type and version are given in full.

    `each` is what a loop goes over, `condition` when there is one at all; both None otherwise.
    `decorators` are those of the outermost alone, with their arguments.
    """

    symbol: str
    type: str
    api_version: str
    existing: bool
    body: Mapping[str, Any]
    each: Any
    condition: Expression | None
    nested: tuple[Resource, ...]
    decorators: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Module:
    """A `module`: the file it uses, beside the one it stands in, and the parameters it passes."""

    symbol: str
    path: str
    body: Mapping[str, Any]

    @property
    def params(self) -> Mapping[str, Any]:
        """Names and values that are passed."""
        params: Mapping[str, Any] = self.body.get("params", {})
        return params


@dataclass(frozen=True)
class Template:
    """What one file declares, and how often each name is used in it."""

    errors: tuple[str, ...] = ()
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[Resource, ...] = ()
    modules: tuple[Module, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    used: frozenset[str] = frozenset()

    def all_resources(self) -> Iterator[Resource]:
        """Every resource, nested ones after the one they are in."""
        waiting = list(self.resources)
        while waiting:
            one = waiting.pop(0)
            waiting[:0] = one.nested
            yield one

    def resource(self, symbol: str) -> Resource:
        """The resource of this name; KeyError when there is none."""
        for one in self.all_resources():
            if one.symbol == symbol:
                return one
        raise KeyError(symbol)


def read(path: Path) -> Template:
    """Read a Bicep file. Wrong syntax is named in `errors`, one line each, and then nothing else is."""
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> Template:
    """As `read`, from the text itself."""
    root = _PARSER.parse(text.encode()).root_node
    if root.has_error:
        return Template(tuple(_errors(root)))
    parameters, variables, outputs, resources, modules = {}, {}, {}, [], []
    decorators: Mapping[str, tuple[Any, ...]] = {}
    for node in root.named_children:
        if node.type == "decorators":
            decorators = _decorators(node)
            continue
        if node.type == "parameter_declaration":
            one = _parameter(node, decorators)
            parameters[one.name] = one
        elif node.type == "variable_declaration":
            variables[_text(node.named_children[0])] = value(node.named_children[-1])
        elif node.type == "output_declaration":
            outputs[_text(node.named_children[0])] = value(node.named_children[-1])
        elif node.type == "resource_declaration":
            resources.append(replace(_resource(node), decorators=decorators))
        elif node.type == "module_declaration":
            symbol, path, body = node.named_children
            modules.append(Module(_text(symbol), value(path), value(_object(body)[0])))
        decorators = {}
    return Template((), parameters, variables, tuple(resources), tuple(modules), outputs, frozenset(_used(root)))


def value(node: Node) -> Any:
    """A literal as its Python value, an object as a dict, an array as a list; anything else as its source."""
    match node.type:
        case "string" if not any(child.type == "interpolation" for child in node.named_children):
            text = "".join(_text(child) for child in node.named_children)
            result: Any = text.removeprefix("\n") if _text(node).startswith("'''") else _unescaped(text)
        case "number":
            result = int(_text(node))
        case "boolean":
            result = _text(node) == "true"
        case "null":
            result = None
        case "object":
            pairs = (child.named_children for child in node.named_children if child.type == "object_property")
            result = {_key(pair[0]): value(pair[1]) for pair in pairs if len(pair) == 2}  # 1: a nested resource
        case "array":
            result = [value(child) for child in node.named_children if child.type != "comment"]
        case _:
            result = Expression(_text(node))
    return result


def walk(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value in a nested value, the outer ones first."""
    if isinstance(node, Mapping):
        for key, content in node.items():
            yield key, content
            yield from walk(content)
    elif isinstance(node, list):
        for content in node:
            yield from walk(content)


def _parameter(node: Node, decorators: Mapping[str, tuple[Any, ...]]) -> Parameter:
    name, kind, *default = [child for child in node.named_children if child.type != "comment"]
    return Parameter(_text(name), _text(kind), value(default[0]) if default else None, bool(default), decorators)


def _resource(node: Node, parent: tuple[str, str] = ("", "")) -> Resource:
    symbol, kind, content = (child for child in node.named_children if child.type != "comment")
    name, _, version = str(value(kind)).partition("@")
    name, version = f"{parent[0]}/{name}".lstrip("/"), version or parent[1]
    inner, each, condition = _object(content)
    nested = tuple(
        _resource(child, (name, version))
        for wrapper in inner.named_children
        for child in wrapper.named_children
        if child.type == "resource_declaration"
    )
    existing = any(child.type == "existing" for child in node.children)
    return Resource(_text(symbol), name, version, existing, value(inner), each, condition, nested)


def _object(node: Node) -> tuple[Node, Any, Expression | None]:
    """The object a declaration is made of, what its loop goes over, and its condition."""
    each, condition = None, None
    while node.type in {"for_statement", "if_statement"}:
        if node.type == "for_statement":
            each = value(node.named_children[1])
        else:
            condition = Expression(_text(node.named_children[0]))
        node = node.named_children[-1]
    return node, each, condition


def _decorators(node: Node) -> dict[str, tuple[Any, ...]]:
    found = {}
    for call in (child.named_children[-1] for child in node.named_children if child.type == "decorator"):
        name, arguments = call.named_children
        found[_text(name)] = tuple(value(child) for child in arguments.named_children)
    return found


def _used(root: Node) -> Iterator[str]:
    """Each name that an expression mentions: keys, properties and what a declaration declares are none."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        children = node.named_children
        if node.type.endswith("_declaration") or (node.type == "object_property" and children[0].type == "identifier"):
            children = children[1:]
        waiting += children
        if node.type == "identifier":
            yield _text(node)


def _errors(root: Node) -> Iterator[str]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.is_error or node.is_missing:
            what = "is missing" if node.is_missing else "is not Bicep"
            yield f"line {node.start_point.row + 1}: {_text(node)[:60]!r} {what} ({node.type})"
        waiting += reversed(node.children)


def _key(node: Node) -> str:
    return str(value(node)) if node.type == "string" else _text(node)


def _text(node: Node) -> str:
    return (node.text or b"").decode()


def _unescaped(text: str) -> str:
    return text.replace("\\'", "'").replace("\\n", "\n").replace("\\$", "$").replace("\\\\", "\\")
