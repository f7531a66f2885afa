"""The reader of Bicep: what it takes for a declaration, a value, a use and an error."""

from __future__ import annotations

import pytest

from tests.infra.bicep import Expression, parse, walk
from tests.infra.project import INFRA, TEMPLATES


def test_parameters_carry_type_default_and_decorators() -> None:
    """Decorators belong to the declaration after them alone, and an empty default is one."""
    template = parse("@secure()\n@minLength(3)\nparam a string = ''\nparam b int\nparam c array = ['x', 1, true, null]")

    assert template.parameters["a"].decorators == {"secure": (), "minLength": (3,)}
    assert [(one.type, one.has_default) for one in template.parameters.values()] == [
        ("string", True),
        ("int", False),
        ("array", True),
    ]
    assert template.parameters["b"].decorators == {}
    assert template.parameters["c"].default == ["x", 1, True, None]


def test_values_are_plain_and_expressions_stay_source() -> None:
    """Literals become Python values, escapes are undone, whatever is worked out stays as written."""
    template = parse(
        "var v = {\n  a: 'it\\'s'\n  'b-c': '${x}y'\n  d: '''\nraw 'text' ${no}\n'''\n  e: [x.y] // why\n}"
    )

    assert template.variables["v"] == {"a": "it's", "b-c": "'${x}y'", "d": "raw 'text' ${no}\n", "e": ["x.y"]}
    assert isinstance(template.variables["v"]["b-c"], Expression)
    assert list(walk({"a": [{"b": 1}]})) == [("a", [{"b": 1}]), ("b", 1)]


def test_resources_loops_conditions_and_nesting() -> None:
    """A resource is known by its full type, also a nested one; loop and condition are told apart from the body."""
    template = parse(
        "resource a 'X.Y/as@2024-01-01' = [for (one, i) in many: if (yes) {\n  name: one\n}]\n"
        "resource b 'X.Y/bs@2' existing = {\n  name: 'b'\n  resource c 'cs' = {\n    name: 'c'\n  }\n}"
    )
    a, b, c = template.all_resources()

    assert (a.type, a.api_version, a.each, a.condition, a.body) == (
        "X.Y/as",
        "2024-01-01",
        "many",
        "(yes)",
        {"name": "one"},
    )
    assert (b.existing, b.body) == (True, {"name": "b"})
    assert (c.type, c.api_version, c.existing) == ("X.Y/bs/cs", "2", False)
    assert template.resource("c") is c


def test_modules_and_outputs() -> None:
    """A module's file and parameters are found under a condition, too."""
    template = parse("module m 'app/x.bicep' = if (a) {\n  params: { p: q }\n}\noutput o string = m.outputs.x")

    assert (template.modules[0].path, template.modules[0].params) == ("app/x.bicep", {"p": "q"})
    assert template.outputs == {"o": "m.outputs.x"}


def test_a_name_is_used_where_an_expression_mentions_it() -> None:
    """Keys, properties and declarations of the same name are no use of it; a name within a text is."""
    template = parse("param a string\nparam b string\nparam c string\nvar d = { a: x.b, e: '${c}' }")

    assert {"a", "b", "d"}.isdisjoint(template.used)
    assert {"c", "x"} <= template.used


@pytest.mark.parametrize("broken", ["param", "var a = {", "resource x = {}", "var a = [for x in y]", "output o ="])
def test_wrong_syntax_is_an_error_with_its_line(broken: str) -> None:
    """What is no Bicep is found, and where."""
    (first, *_) = parse(f"param fine string\n{broken}\n").errors

    assert first.startswith("line ")


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_template_corrupted_is_found_out(name: str) -> None:
    """The check of syntax can fail: a brace or a quote less in any of our files is an error."""
    text = (INFRA / name).read_text(encoding="utf-8")

    assert parse(text.rstrip().removesuffix("}") if text.rstrip().endswith("}") else text + "\nvar x = {").errors
    assert parse(text.replace("= {", "= ", 1)).errors
    assert parse(text.replace("'Microsoft", "Microsoft", 1)).errors
