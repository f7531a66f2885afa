"""What is packed for Azure: enough to run, and no more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pathspec
import pytest

from tests.conftest import ROOT

_LINES = (ROOT / ".funcignore").read_text(encoding="utf-8").splitlines()
RULES = [line for line in _LINES if line and not line.startswith("#")]
MOST_BYTES = 2_000_000
APP = {
    "function_app.py",
    "functions/score.py",
    "host.json",
    "model/__init__.py",
    "model/haro-orca.onnx",
    "requirements.txt",
    "shared/hydrophones.toml",
    "shared/mine.toml",
    "shared/storage/azure/blobs.py",
}
JUNK = {
    ".env",
    ".funcignore",
    ".venv/bin/python",
    "data/haro.db",
    "functions/__pycache__/score.cpython-311.pyc",
    "haro_env/lib/python3.11/site-packages/numpy/__init__.py",
    "infra/main.bicep",
    "local.settings.json",
    "mine.toml",
    "model/orcahello/model.pkl",
    "model/spans.csv",
    "model/train.py",
    "node_modules/azurite/package.json",
    "requirements-train.txt",
    "shared/.cache/x.py",
    "shared/__pycache__/settings.cpython-311.pyc",
    "shared/storage/README.md",
    "station/clips/a.flac",
    "station/shared/settings.py",
    "tests/test_package.py",
}

Ignores = Callable[[str], bool]


def as_git(path: str) -> bool:
    """Whether the rules leave a file or a folder out, as git reads them."""
    return pathspec.GitIgnoreSpec.from_lines(RULES).match_file(path)


def as_azd(path: str) -> bool:
    """The same as azd reads them: the last rule that fits decides, and a `*` in a rule like `/*` takes slashes too.

    After pattern.go of github.com/denormal/go-gitignore, as far as our rules go.
    """
    for rule in reversed(RULES):
        pattern = rule.removeprefix("!").removeprefix("/")
        one_part, anchored = "/" not in pattern, "/" in rule
        deep = pattern.endswith("/**")
        star = ".*" if one_part else "[^/]*"
        wanted = re.escape(pattern.removesuffix("/**")).replace(r"\*", star) + ("(/.*)?" if deep else "")
        if re.fullmatch(wanted, path if anchored else path.rpartition("/")[2]):
            return not rule.startswith("!")
    return False


def _packed(root: Path, ignores: Ignores) -> set[str]:
    """The files below a folder that the rules let through; ignored folders are not entered."""
    packed: set[str] = set()
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if not ignores((here / name).as_posix())]
        packed |= {path for name in files if not ignores(path := (here / name).as_posix())}
    return packed


@pytest.fixture(scope="module")
def packed() -> list[Path]:
    """What is packed of this checkout."""
    return sorted(Path(path) for path in _packed(ROOT, as_git))


@pytest.mark.parametrize("ignores", [as_git, as_azd])
def test_no_junk_is_packed(tmp_path: Path, ignores: Ignores) -> None:
    """Of a folder full of data, environments, notes and secrets nothing goes along but the app and lists in shared/."""
    for path in APP | JUNK:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()

    assert _packed(tmp_path, ignores) == APP


def test_both_readers_pack_the_same_of_this_checkout(packed: list[Path]) -> None:
    """What git's rules say and what azd makes of them do not differ."""
    assert _packed(ROOT, as_azd) == {path.as_posix() for path in packed}


def test_rules_are_of_a_kind_that_the_stand_in_for_azd_knows() -> None:
    """No rule ends in a slash or has `?`, `[` or `**` in its middle: those the two readers may take differently."""
    assert [rule for rule in RULES if not re.fullmatch(r"!?/?[\w.*-]+(/[\w.-]+|/\*{1,2})?", rule)] == []


def test_nothing_but_the_app_is_packed(packed: list[Path]) -> None:
    """The package has code, the model and what Functions reads: no test, page, secret or training code."""
    tops = {path.parts[0] for path in packed}
    assert tops == {"function_app.py", "functions", "host.json", "model", "requirements.txt", "shared"}
    assert {path.name for path in packed if path.parts[0] == "model"} == {"__init__.py", "haro-orca.onnx"}
    assert {path.suffix for path in packed} <= {".py", ".json", ".txt", ".toml", ".onnx"}


def test_the_package_is_small(packed: list[Path]) -> None:
    """Code and model stay below 2 MB, most of it the model: what is installed from requirements.txt comes on top."""
    sizes = {path: (ROOT / path).stat().st_size for path in packed}
    assert sum(sizes.values()) < MOST_BYTES
    assert max(sizes, key=lambda path: sizes[path]) == Path("model/haro-orca.onnx")


def test_the_package_is_whole(packed: list[Path], tmp_path: Path) -> None:
    """Unpacked in a folder of its own, the app is found there, with all its functions, its model and its files."""
    for path in packed:
        (tmp_path / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    program = (
        "import function_app, shared.settings as s, shared.hydrophones, pathlib;"
        "here = pathlib.Path.cwd();"
        "assert all(pathlib.Path(m.__file__).is_relative_to(here) for m in (function_app, shared.hydrophones));"
        "print(sorted(f.get_function_name() for f in function_app.app.get_functions()))"
    )
    environment = {"PATH": os.environ["PATH"], "HARO_BLOB_SOURCE": "eventgrid"}
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    names = ["deadletter", "enqueue", "live", "ready", "reconcile", "record", "score"]
    assert answer.stdout.strip() == str(names)
