"""The deployment's files, read once, and what the tests ask of them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.infra import bicep
from tests.infra.bicep import Template

INFRA = ROOT / "infra"
TEMPLATES: dict[str, Template] = {
    str(path.relative_to(INFRA)): bicep.read(path)
    for path in (INFRA / "main.bicep", *sorted(INFRA.glob("app/*.bicep")))
}
MAIN = TEMPLATES["main.bicep"]
FUNCTION = TEMPLATES["app/function.bicep"]
_AZD_VALUE = re.compile(r"\$\{(\w+)(?:=([^}]*))?\}")


def parameters_file() -> dict[str, tuple[str, str | None]]:
    """What azd passes: by parameter, the variable it comes from and the default, None where there is none."""
    parameters = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    found = {}
    for name, one in parameters.items():
        match = _AZD_VALUE.fullmatch(one["value"])
        assert match, f"{name}: {one['value']}"
        found[name] = (match[1], match[2])
    return found


def app_settings() -> dict[str, Any]:
    """The app settings of a deployment where every channel is given: literals, else the expression."""
    secret = {name: bicep.Expression(name) for name in re.findall(r"\bHARO_\w+", MAIN.variables["secretSettings"])}
    return {**FUNCTION.variables["appSettings"], **MAIN.variables["plainSettings"], **secret}


def as_deployed() -> dict[str, str]:
    """The app settings with the parameters' defaults, and made-up addresses for what Azure will name."""
    values = {}
    for name, content in app_settings().items():
        if not isinstance(content, bicep.Expression):
            values[name] = str(content)
            continue
        parameter = MAIN.parameters.get(content.removeprefix("string(").removesuffix(")"))
        values[name] = f"https://made-up.example/{name}" if parameter is None else str(parameter.default)
    return values


def bindings() -> Iterator[tuple[str, dict[str, str]]]:
    """Each trigger in functions/: the name of its function and the decorator's arguments that are plain text."""
    for path in sorted((ROOT / "functions").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            arguments: dict[str, str] = {}
            for decorator in node.decorator_list:
                if not isinstance(decorator, ast.Call):
                    continue
                for keyword in decorator.keywords:
                    if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
                        arguments[str(keyword.arg)] = keyword.value.value
                if isinstance(decorator.func, ast.Attribute) and decorator.func.attr == "function_name":
                    arguments["function_name"] = ast.literal_eval(decorator.args[0])
            if "function_name" in arguments:
                yield arguments.pop("function_name"), arguments


def infra_files() -> list[Path]:
    """Every file of the deployment that is text."""
    roots = (ROOT / "azure.yaml", ROOT / ".github" / "workflows" / "ci.yml")
    return [*roots, *(path for path in sorted(INFRA.rglob("*")) if path.is_file())]
