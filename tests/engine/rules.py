"""What the host asks of an app before it runs anything: names, settings in bindings, schedules, connections."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.engine import ncrontab

Binding = Mapping[str, Any]
Settings = Mapping[str, str]

_NAME = re.compile(r"(?!host$)[a-z][a-z0-9_-]{0,127}")
"""The host's own rule (azure-functions-host, Utility), and no capitals: with them a Flex Consumption plan loses count
of its always-ready instances (Azure/Azure-Functions issue 2581)."""

_ADDRESSES = {
    "serviceBusTrigger": ("fullyQualifiedNamespace",),
    "blobTrigger": ("blobServiceUri", "queueServiceUri"),
    "timerTrigger": ("blobServiceUri",),
}
"""What each trigger needs of a connection that shows an identity (Microsoft Learn, "Identity-based connections"): a
blob trigger keeps queues of its own, a timer its locks and its last run among the blobs of the host's storage."""
_HOST_STORAGE = "AzureWebJobsStorage"


@dataclass(frozen=True)
class Function:
    """A function of the app, the settings in its bindings resolved."""

    name: str
    bindings: tuple[Binding, ...]

    @property
    def trigger(self) -> Binding:
        """The binding that starts it."""
        return next(binding for binding in self.bindings if binding["type"].endswith("Trigger"))


def check(functions: Iterable[Function], settings: Settings) -> tuple[list[Function], list[str]]:
    """The functions with resolved bindings, and all that is wrong with them."""
    resolved, wrong = [], []
    for function in functions:
        if not _NAME.fullmatch(function.name):
            wrong.append(f"{function.name}: no name for a function: lower case, from a letter, at most 128 characters")
        unset: list[str] = []
        bindings = tuple(_resolve(binding, settings, unset) for binding in function.bindings)
        wrong += [f"{function.name}: {reason}" for reason in unset]
        function = replace(function, bindings=bindings)  # noqa: PLW2901 - the same one, resolved
        resolved.append(function)
        if not unset:
            wrong += [f"{function.name}: {reason}" for reason in _wrong_schedule(function.trigger)]
        wrong += [f"{function.name}: {reason}" for reason in _missing_connection(function.trigger, settings)]
    return resolved, wrong


def _resolve(value: Any, settings: Settings, wrong: list[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _resolve(item, settings, wrong) for name, item in value.items()}
    if not isinstance(value, str):
        return value

    def setting(match: re.Match[str]) -> str:
        if not (found := settings.get(match[1])):
            wrong.append(f"%{match[1]}% does not resolve: there is no such app setting")
        return found or match[0]

    return re.sub(r"%([^%]*)%", setting, value)


def _wrong_schedule(trigger: Binding) -> Iterator[str]:
    if trigger["type"] == "timerTrigger":
        try:
            ncrontab.parse(trigger["schedule"])
        except ValueError as error:
            yield str(error)


def _missing_connection(trigger: Binding, settings: Settings) -> Iterator[str]:
    addresses = _ADDRESSES.get(trigger["type"])
    if addresses is None:
        return
    name = trigger.get("connection", _HOST_STORAGE)
    if settings.get(name):
        return
    missing = [f"{name}__{part}" for part in (*addresses, "clientId") if not settings.get(f"{name}__{part}")]
    if settings.get(f"{name}__credential") != "managedidentity":
        missing.append(f"{name}__credential=managedidentity")
    if missing:
        yield f"no connection {name}: set it, or for an identity {', '.join(missing)}"
