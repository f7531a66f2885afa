"""What the pages say is what the code does.

`docs/settings.md` and `docs/cli.md` are made from the code: `REWRITE_DOCS=1 python -m pytest tests/test_docs.py` writes
them anew.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile, groupby, pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pathspec
import pytest
import typer.main
from typer.testing import CliRunner

from shared.cli.commands import app
from shared.connections import Connections
from shared.connections import variable_name as connection_name
from shared.settings import Settings, variable_name
from tests.conftest import ROOT


def _commands_of(group: Any, *before: str) -> Iterator[tuple[str, Any]]:
    """Every command by the words that call it; those of a group come after the group."""
    for name, command in group.commands.items():
        yield " ".join((*before, name)), command
        if hasattr(command, "commands"):
            yield from _commands_of(command, *before, name)


COMMANDS = dict(_commands_of(typer.main.get_command(app)))
PAGES = sorted(
    page
    for folder in (".", "docs", "model", "infra")
    for page in (ROOT / folder).glob("**/*.md" if folder != "." else "*.md")
)
_FENCE = re.compile(r"^ *(`{3,}|~{3,})[^\n]*\n(.*?)^ *\1", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
_TARGET = re.compile(r"^([\w./-]+):(?!=)", re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=")
_ENDS = {"|", "||", "&&", ";", "&", ">", ">>", "<"}

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def settings_page() -> str:
    """docs/settings.md as the code has it."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. None has to be set; an empty value counts as not given. Wrong",
        "values, and `HARO_` names that are not in this table, stop Haro at the start with one message that names",
        "them all.",
        "",
        "| variable | default | allowed | meaning |",
        "|---|---|---|---|",
    ]
    for name, schema in Settings.model_json_schema()["properties"].items():
        lines.append(f"| `{variable_name(name)}` | {_default(schema)} | {_allowed(schema)} | {schema['description']} |")
    lines += [
        "",
        "## Connections",
        "",
        "With `HARO_STORAGE=azure` each service is reached in one of two ways: at its address, where the app's",
        "identity (`AZURE_CLIENT_ID` says which) or the person logged in has leave; or, emulators alone, by",
        "connection string. The Functions host reads the same variables.",
        "",
        "| variable | meaning |",
        "|---|---|",
    ]
    for name, field in Connections.model_fields.items():
        lines.append(f"| `{connection_name(name)}` | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(schema: dict[str, Any]) -> str:
    default = schema["default"]
    return "" if default in (None, []) else f"`{f'{default:g}' if isinstance(default, float) else default}`"


def _allowed(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "maximum" not in schema:
        return "any"
    least = f"{schema['minimum']:g}" if "minimum" in schema else "above 0"
    return f"{least} to {schema['maximum']:.0f}"


def cli_page() -> str:
    """docs/cli.md as the code has it: the help of the whole and of every command."""
    parts = ["# Commands", "", "What `haro --help` and `haro COMMAND --help` say."]
    for name in ("", *COMMANDS):
        arguments = [*name.split(), "--help"]
        result = CliRunner().invoke(app, arguments, prog_name="haro", terminal_width=100)
        assert result.exit_code == 0, result.output
        help_text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts += ["", f"## {f'haro {name}'.strip()}", "", "```text", help_text, "```"]
    return "\n".join(parts) + "\n"


@pytest.mark.parametrize(("name", "made"), [("settings.md", settings_page), ("cli.md", cli_page)])
def test_the_page_is_what_the_code_says(name: str, made: Any) -> None:
    """Settings and commands are documented whole, and no page is behind the code."""
    page = ROOT / "docs" / name
    if os.environ.get("REWRITE_DOCS"):
        page.write_text(made(), encoding="utf-8")

    assert page.read_text(encoding="utf-8") == made(), f"run REWRITE_DOCS=1 python -m pytest {Path(__file__).name}"


def test_every_host_setting_is_explained() -> None:
    """docs/host.md has a line with its value for every setting of host.json, and no other."""

    def flat(node: Any, path: str) -> Iterator[tuple[str, str]]:
        if not isinstance(node, dict):
            yield path, json.dumps(node).strip('"')
            return
        for name, value in node.items():
            yield from flat(value, f"{path}.{name}" if path else name)

    rows = re.findall(
        r"^\| `(\S+)` \| `([^`]+)` \|", (ROOT / "docs" / "host.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert dict(rows) == dict(flat(json.loads((ROOT / "host.json").read_text(encoding="utf-8")), ""))


def test_there_are_pages_and_commands() -> None:
    """The checks below look at something."""
    assert {"README.md", "settings.md", "cli.md"} <= {page.name for page in PAGES}
    assert {"run", "demo", "score", "doctor"} <= set(COMMANDS)
    assert any(_calls(page.read_text(encoding="utf-8")) for page in PAGES)
    assert "demo" in _make_targets()


@page_by_page
def test_every_command_shown_exists(page: Path) -> None:
    """Each `haro` command and each option of it that a page shows is one that the command line has."""
    wrong = []
    for call in _calls(page.read_text(encoding="utf-8")):
        name, *rest = [word for word in call if not word.startswith("-")] or [""]
        if rest and hasattr(COMMANDS.get(name), "commands"):
            name = f"{name} {rest[0]}"
        options = [word.partition("=")[0] for word in call if word.startswith("-") and not _is_number(word)]
        if name.isupper():  # stands for any command
            continue
        if name and name not in COMMANDS:
            wrong.append(f"haro {name}: no such command")
            continue
        known = {option for p in (COMMANDS[name].params if name else ()) for option in (*p.opts, *p.secondary_opts)}
        wrong += [f"haro {name} {option}: no such option" for option in options if option not in known | {"--help"}]
    assert not wrong


@page_by_page
def test_every_setting_shown_exists(page: Path) -> None:
    """Each HARO_ name on a page is a setting, or the common start of several (`HARO_BOUT_…`)."""
    known = {variable_name(name) for name in Settings.model_fields} | {"HARO_TYPO"}  # the example of one that is none
    shown = set(re.findall(r"HARO_[A-Z0-9_]*", page.read_text(encoding="utf-8")))

    assert {name for name in shown if name not in known and not _starts_some(name, known)} == set()


@page_by_page
def test_every_make_target_shown_exists(page: Path) -> None:
    """Each `make` target that a page shows is in the Makefile."""
    shown = {
        word
        for words in _commands("make", page.read_text(encoding="utf-8"))
        for word in words
        if not word.startswith("-") and "=" not in word
    }

    assert shown <= _make_targets()


@page_by_page
def test_no_link_is_dead(page: Path) -> None:
    """Each link to a file or folder of the project, and to a heading in it, leads somewhere."""
    dead = []
    prose = _SPAN.sub("", _FENCE.sub("", page.read_text(encoding="utf-8")))
    for link in _LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, heading = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        there = target.exists() and target.is_relative_to(ROOT)
        if not there or (heading and target.suffix == ".md" and heading not in _headings(target)):
            dead.append(link)
    assert not dead


def test_what_commands_shown_leave_here_is_ignored() -> None:
    """What the commands on the pages write into the checkout (`--data`, `--out`) git does not add."""
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".gitignore").read_text(encoding="utf-8").splitlines())
    left = {
        target
        for page in PAGES
        for call in _calls(page.read_text(encoding="utf-8"))
        for option, target in pairwise(call)
        if option in ("--data", "--out") and not target.startswith("/")
    }

    assert {"station", "call.npz"} <= left
    assert {target for target in left if not ignored.match_file(target if "." in target else f"{target}/x")} == set()


def test_every_dependency_has_its_reason() -> None:
    """Each name in requirements.txt stands, as code, on a page of decisions."""
    names = re.findall(r"^([\w-]+)==", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    pages = (page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "decisions").glob("0*.md"))
    reasons = set(re.findall(r"`([\w-]+)(?=[`.])", "\n".join(pages)))

    assert "librosa" in names
    assert set(names) - reasons == set()


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("```sh\n$ haro run --data /x # listen\n```", [["run", "--data", "/x"]]),
        (
            "```\nHARO_DATA=x .venv/bin/haro score a.wav \\\n  --out b.json | jq .\n```",
            [["score", "a.wav", "--out", "b.json"]],
        ),
        ("see `haro doctor`, `haro` and `haroo run`", [["doctor"], []]),
        ("haro run\n\n~~~\nmake demo && haro demo\n~~~", [["demo"]]),
        ('```json\n{"a": "don\'t"}\n```', []),
    ],
)
def test_commands_are_found_where_they_are_shown(text: str, calls: list[list[str]]) -> None:
    """The search itself: prompts, comments, variables, pipes and continued lines are understood; prose is none."""
    assert _calls(text) == calls


def _calls(text: str) -> list[list[str]]:
    return list(_commands("haro", text))


def _commands(program: str, text: str) -> Iterator[list[str]]:
    """The arguments of each call of `program` in code blocks and code spans."""
    blocks = [body for _, body in _FENCE.findall(text)]
    lines = [line for body in blocks for line in re.sub(r"\\\n\s*", " ", body).splitlines()]
    for line in (*lines, *_SPAN.findall(_FENCE.sub("", text))):
        for is_end, words in groupby(_words(line.strip().removeprefix("$ ")), key=_ENDS.__contains__):
            call = list(dropwhile(_ASSIGNMENT.match, words))
            if not is_end and call and Path(call[0]).name == program:
                yield call[1:]


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:  # an open quote: no shell line
        return []


def _is_number(word: str) -> bool:
    return re.fullmatch(r"-\d+(\.\d+)?", word) is not None


def _starts_some(name: str, known: set[str]) -> bool:
    return name.endswith("_") and any(one.startswith(name) for one in known)


def _make_targets() -> set[str]:
    return set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))) - {".PHONY"}


def _headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?) *#*$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
