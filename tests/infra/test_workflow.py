"""What checks a deployment before it is made, and what people are told about it."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.infra.project import MAIN, parameters_file

WORKFLOW: dict[Any, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
GUIDE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def test_each_action_is_pinned_to_a_commit() -> None:
    """A tag can be moved, a commit cannot; beside it stands the version for people."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.*)", text)

    assert uses
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one) for one in uses)


def test_the_tests_run_on_every_python_we_support() -> None:
    """The matrix is what pyproject.toml promises."""
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    least, most = (int(minor) for minor in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", promised).groups())  # type: ignore[union-attr]  # else it fails, as it should

    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(least, most)]


def test_the_compiler_sees_both_templates_and_what_if_waits_for_a_subscription() -> None:
    """CI compiles what a deployment compiles; only the job that signs in may ask for a token, and never for a fork."""
    jobs = WORKFLOW["jobs"]
    builds = [step.get("run", "") for step in jobs["bicep"]["steps"]]

    assert any("az bicep build --file infra/main.bicep" in run for run in builds)
    assert any("az bicep build --file infra/app/subscription.bicep" in run for run in builds)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert [name for name, job in jobs.items() if "id-token" in job.get("permissions", {})] == ["what-if"]
    assert jobs["what-if"]["if"] == "vars.AZURE_SUBSCRIPTION_ID != '' && github.event_name == 'push'"
    assert jobs["what-if"]["needs"] == "bicep"


def test_no_expression_is_pasted_into_a_shell() -> None:
    """What comes from outside reaches a script by its environment only."""
    runs = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]

    assert runs
    assert [run for run in runs if "${{" in run] == []


def test_what_if_gives_every_parameter_that_has_no_default() -> None:
    """The job needs no file of azd's."""
    run = next(step["run"] for step in WORKFLOW["jobs"]["what-if"]["steps"] if "run" in step)
    needed = {name for name, one in MAIN.parameters.items() if not one.has_default}

    assert set(re.findall(r"(\w+)=\"", run)) == needed


def test_the_guide_explains_every_parameter_and_output() -> None:
    """docs/deploy.md names each variable an operator can set, with its default, and each output."""
    for variable, default in parameters_file().values():
        assert f"`{variable}`" in GUIDE, variable
        if default:
            assert re.search(rf"^\| `{variable}` \| `{re.escape(default)}` \|", GUIDE, re.MULTILINE), variable
    assert [name for name in MAIN.outputs if f"`{name}`" not in GUIDE] == []
