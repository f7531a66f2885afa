"""The deployment that azd made: where it is, and whether its app answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import requests
from dotenv import dotenv_values

from shared.checks import Finding
from shared.errors import SettingsError

_VARIABLES = {  # output of infra/main.bicep: variable that Haro reads
    "SERVICE_BUS_NAMESPACE": "ServiceBusConnection__fullyQualifiedNamespace",
    "COSMOS_ENDPOINT": "CosmosConnection__accountEndpoint",
    "COSMOS_DATABASE": "HARO_COSMOS_DATABASE",
    "BLOB_SERVICE_URI": "AzureWebJobsStorage__blobServiceUri",
}
_APP_URL = "FUNCTION_APP_URL"
_TIMEOUT_S = 60.0  # an app that slept loads the model first


def read_outputs(environment: str | None, *, folder: Path = Path(".azure")) -> dict[str, str]:
    """What `azd provision` wrote down of an environment; without a name, of the default one.

    Raises SettingsError when there is no such environment, or it was never provisioned.
    """
    name = environment or _default_environment(folder)
    file = folder / name / ".env"
    values = {key: value for key, value in dotenv_values(file).items() if value} if file.is_file() else {}
    missing = [key for key in (*_VARIABLES, _APP_URL) if key not in values]
    if missing:
        raise SettingsError(
            f"{file} has no {', '.join(missing)}: run `azd provision` in this folder, or name the environment with "
            "--environment"
        )
    return values


def variables(outputs: dict[str, str]) -> dict[str, str]:
    """The environment variables under which Haro reaches that deployment's storage, and knows its hydrophones."""
    listened_to = {name: outputs[name] for name in ("HARO_HYDROPHONES",) if name in outputs}
    return {"HARO_STORAGE": "azure"} | {variable: outputs[key] for key, variable in _VARIABLES.items()} | listened_to


def check_app(outputs: dict[str, str]) -> Iterator[Finding]:
    """Ask the app's health addresses."""
    for what in ("live", "ready"):
        url = f"{outputs[_APP_URL].rstrip('/')}/api/health/{what}"
        try:
            answer = requests.get(url, timeout=_TIMEOUT_S)
            checks = json.loads(answer.text)["checks"]
        except requests.RequestException as error:
            to_do = "the app may be starting: try again in a minute; else `azd deploy`"
            yield Finding(f"app {what}", ok=False, found=f"{url}: {type(error).__name__}", to_do=to_do)
        except (ValueError, KeyError, TypeError):
            to_do = "run `azd deploy`, or look at the app's log: a wrong setting stops all functions"
            yield Finding(
                f"app {what}", ok=False, found=f"{url}: HTTP {answer.status_code}, no answer of Haro's", to_do=to_do
            )
        else:
            wrong = [part for part, ok in checks.items() if not ok]
            to_do = "the app's log says more; the checks below ask the same from here" if wrong else ""
            found = f"not in order: {', '.join(wrong)}" if wrong else "answers"
            yield Finding(f"app {what}", ok=not wrong, found=found, to_do=to_do)


def _default_environment(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["defaultEnvironment"])
    except (OSError, ValueError, KeyError) as error:
        raise SettingsError(
            f"{folder / 'config.json'} names no azd environment ({type(error).__name__}): run this where `azd up` ran, "
            "or name one with --environment"
        ) from error
