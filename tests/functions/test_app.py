"""The app as Azure Functions sees it: what is indexed, and what its files of settings say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.documents import result_blob_name
from tests.conftest import ROOT
from tests.functions.host import BATCH


def test_the_app_has_its_functions(indexed: dict[str, Any]) -> None:
    """The three stages, the two that set right what went wrong, and health, all under lower-case names."""
    found = {
        name: [binding.get_dict_repr()["type"] for binding in function.get_bindings()]
        for name, function in indexed.items()
    }

    assert found == {
        "enqueue": ["timerTrigger"],
        "score": ["serviceBusTrigger"],
        "record": ["blobTrigger"],
        "deadletter": ["timerTrigger"],
        "reconcile": ["timerTrigger"],
        "live": ["httpTrigger", "http"],
        "ready": ["httpTrigger", "http"],
    }


def test_the_triggers_watch_what_the_stages_write(indexed: dict[str, Any]) -> None:
    """Queue and container are those the stages send to, and blobs are told by Event Grid, not by scanning."""
    timer, queue, blob = (indexed[name].get_trigger().get_dict_repr() for name in ("enqueue", "score", "record"))

    assert timer["schedule"] == "%HARO_POLL_SCHEDULE%"
    assert queue["queueName"] == "segment-batches"
    assert result_blob_name(BATCH).startswith(blob["path"].removesuffix("{name}"))
    assert (blob["path"], blob["source"]) == ("results/{name}", "EventGrid")


def test_every_app_setting_is_in_the_example(indexed: dict[str, Any]) -> None:
    """Each connection and each %NAME% of a binding has a value in local.settings.json.example."""
    example = json.loads((ROOT / "local.settings.json.example").read_text(encoding="utf-8"))
    bindings = [binding.get_dict_repr() for function in indexed.values() for binding in function.get_bindings()]
    needed = {binding["connection"] for binding in bindings if "connection" in binding}
    needed |= {name for binding in bindings for name in re.findall(r"%(\w+)%", json.dumps(binding, default=str))}

    assert needed >= {"ServiceBusConnection", "AzureWebJobsStorage", "HARO_POLL_SCHEDULE"}
    given = {name.partition("__")[0] for name, value in example["Values"].items() if value}
    assert needed - given == set()
    assert example["IsEncrypted"] is False
    assert example["Values"]["FUNCTIONS_WORKER_RUNTIME"] == "python"


def test_a_batch_stays_locked_as_long_as_a_function_may_run() -> None:
    """host.json is read, and no batch comes to a second worker while the first may still be at it."""
    host = json.loads((ROOT / "host.json").read_text(encoding="utf-8"))

    assert host["version"] == "2.0"
    assert host["extensionBundle"]["id"] == "Microsoft.Azure.Functions.ExtensionBundle"
    bus = host["extensions"]["serviceBus"]
    assert bus["maxAutoLockRenewalDuration"] >= host["functionTimeout"]
    assert bus["prefetchCount"] == 0, "a prefetched message's lock runs before anybody looks at it"


@pytest.mark.parametrize("file", sorted((ROOT / "functions").glob("*.py")), ids=lambda file: file.name)
def test_a_trigger_holds_no_logic(file: Path) -> None:
    """Each file of bindings is at most 30 lines of code."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]

    assert len([line for line in lines if line and not line.startswith("#")]) <= 30
