"""The hook after a deployment, run as it stands with stand-ins for `az` and `curl`."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.infra.project import MAIN, bindings

HOOK = ROOT / "infra" / "hooks" / "postdeploy.sh"
FROM_AZD = {"AZURE_SUBSCRIPTION_ID": "00000000-aaaa", "HOOK_WAIT_S": "0"}
ENVIRONMENT = FROM_AZD | {
    "AZURE_RESOURCE_GROUP": "rg-test",
    "FUNCTION_APP_NAME": "func-test",
    "FUNCTION_APP_URL": "https://func-test.example",
    "EVENT_TOPIC_NAME": "evgt-test",
}
# Answers as the real one; fails as often as the file fail-<command> still says.
AZ = """#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
  "account show"*) step=account ;;
  "functionapp function show"*) step=show ;;
  "functionapp keys list"*) step=keys ;;
  "deployment group create"*) step=create ;;
  *) echo "unexpected: az $*" >&2; exit 9 ;;
esac
left=$(cat "$STATE/$step" 2>/dev/null || echo 0)
echo $((left - 1)) > "$STATE/$step"
[ $step = account ] && [ "$left" -gt 0 ] && { echo "ERROR: Please run 'az login'" >&2; exit 1; }
if [ "$left" -gt 0 ]; then [ $step = keys ] && { echo 0; exit 0; }; exit 3; fi
[ $step = keys ] && echo 54
exit 0
"""
CURL = """#!/bin/sh
echo "curl $*" >> "$LOG"
exit 28
"""


@dataclass(frozen=True)
class Run:
    """What a run of the hook ended with, said and called."""

    code: int
    said: str
    calls: list[str]

    def called(self, start: str) -> list[str]:
        """The calls that start so."""
        return [call for call in self.calls if call.startswith(start)]


def run_hook(folder: Path, *, fails: dict[str, int], environment: dict[str, str] | None = None) -> Run:
    """Run the hook where `az` fails so often at each step: `account`, `show`, `keys` or `create`."""
    tools = folder / "bin"
    tools.mkdir()
    for name, text in (("az", AZ), ("curl", CURL)):
        (tools / name).write_text(text, encoding="utf-8")
        (tools / name).chmod(0o755)
    for step, times in fails.items():
        (folder / step).write_text(str(times), encoding="utf-8")
    log = folder / "log"
    log.touch()
    given = ENVIRONMENT if environment is None else environment
    path = {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "LOG": str(log), "STATE": str(folder)}
    result = subprocess.run(
        ["/bin/sh", str(HOOK)], cwd=ROOT, env={**path, **given}, capture_output=True, text=True, timeout=60, check=False
    )
    return Run(result.returncode, result.stdout + result.stderr, log.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_hook_is_a_shell_script(shell: str) -> None:
    """Both shells can read it, and it may be run."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    result = subprocess.run([program, "-n", str(HOOK)], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
    assert os.access(HOOK, os.X_OK)


def test_it_asks_for_a_function_that_exists_and_outputs_that_are_made() -> None:
    """The function it waits for is ours; what it reads from its environment are outputs of main.bicep."""
    script = HOOK.read_text(encoding="utf-8")

    assert "--function-name record " in script
    assert "record" in dict(bindings())
    assert set(ENVIRONMENT) - set(FROM_AZD) <= set(MAIN.outputs)


def test_it_subscribes_once_the_function_and_its_key_are_there(tmp_path: Path) -> None:
    """It waits through a host that is not up and a key that is not made, then deploys the subscription."""
    run = run_hook(tmp_path, fails={"show": 2, "keys": 1})

    assert run.code == 0, run.said
    (created,) = run.called("deployment group create")
    azs = [call for call in run.calls if not call.startswith("curl")]
    assert all("--subscription 00000000-aaaa" in call for call in azs)
    assert all("--resource-group rg-test" in call for call in azs if "account show" not in call)
    assert "--template-file infra/app/subscription.bicep" in created
    assert "functionAppName=func-test topicName=evgt-test" in created
    assert len(run.called("functionapp function show")) == 4
    assert all("/api/health/live" in call for call in run.called("curl"))


def test_it_never_holds_the_key(tmp_path: Path) -> None:
    """It asks for the length of the key alone, so neither its output nor a list of processes can show it."""
    run = run_hook(tmp_path, fails={})

    assert all("length(" in call for call in run.called("functionapp keys list"))
    assert "54" not in run.said
    assert "code=" not in HOOK.read_text(encoding="utf-8")


def test_it_tries_again_when_event_grid_is_refused(tmp_path: Path) -> None:
    """A host that sleeps through the handshake is asked again, three times in all."""
    assert run_hook(tmp_path, fails={"create": 2}).code == 0


def test_it_gives_up_with_advice(tmp_path: Path) -> None:
    """A subscription that cannot be made ends the deployment with an error that says what to do."""
    run = run_hook(tmp_path, fails={"create": 99})

    assert run.code == 1
    assert len(run.called("deployment group create")) == 3
    assert "azd hooks run postdeploy" in run.said


def test_an_app_without_the_function_is_told(tmp_path: Path) -> None:
    """When the function never appears nothing is subscribed, and the message says where to look."""
    run = run_hook(tmp_path, fails={"show": 99})

    assert run.code == 1
    assert not run.called("deployment")
    assert "after 30 tries" in run.said
    assert "az functionapp function list" in run.said


def test_who_signed_in_to_azd_alone_is_told_at_once(tmp_path: Path) -> None:
    """The Azure CLI has a login of its own: without it nothing is waited for, and its own words are shown."""
    run = run_hook(tmp_path, fails={"account": 99})

    assert run.code == 1
    assert run.calls == ["account show --subscription 00000000-aaaa --output none"]
    assert "ERROR: Please run 'az login'" in run.said
    assert "'azd auth login' is another login" in run.said


@pytest.mark.parametrize("tool", ["az", "curl"])
def test_a_tool_that_is_not_installed_is_named(tmp_path: Path, tool: str) -> None:
    """Where one of its two tools is missing, it says so before anything else."""
    other = {"az": "curl", "curl": "az"}[tool]
    (tmp_path / other).write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / other).chmod(0o755)
    result = subprocess.run(
        ["/bin/sh", str(HOOK)], env={"PATH": str(tmp_path), **ENVIRONMENT}, capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert f"install {'the Azure CLI' if tool == 'az' else 'curl'}" in result.stderr


@pytest.mark.parametrize("missing", sorted(set(ENVIRONMENT) - {"HOOK_WAIT_S"}))
def test_a_missing_value_is_named(tmp_path: Path, missing: str) -> None:
    """Run by hand without azd's environment, it says which value it lacks."""
    run = run_hook(tmp_path, fails={}, environment={k: v for k, v in ENVIRONMENT.items() if k != missing})

    assert run.code != 0
    assert missing in run.said
    assert run.calls == []
