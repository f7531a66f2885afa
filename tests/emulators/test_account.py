"""The emulators that developers start, by our own means or by Docker, are set up as the account in Azure is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from azure.cosmos import CosmosClient
from azure.servicebus import ServiceBusClient, ServiceBusMessage
from azure.storage.blob import BlobServiceClient
from pydantic import TypeAdapter

from shared.documents import BLOB_CONTAINERS, CONTAINERS
from tests.conftest import ROOT
from tests.emulators.account import DATABASE, QUEUE, QUEUE_SETTINGS, Ports, prepare, run_account
from tests.emulators.azurite import missing

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
EXAMPLE: dict[str, str] = json.loads((ROOT / "local.settings.json.example").read_text())["Values"]
MOST = {"DefaultMessageTimeToLive": timedelta(hours=1), "DuplicateDetectionHistoryTimeWindow": timedelta(minutes=5)}
"""What Microsoft's Service Bus emulator allows at most (its Config-schema.json)."""

needs_azurite = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def _duration(text: str) -> timedelta:
    return TypeAdapter(timedelta).validate_python(text)


def _queue_in_azure() -> dict[str, Any]:
    """The properties of the queue as the template in infra/ has them, named as the emulator names them."""
    bicep = (ROOT / "infra" / "app" / "servicebus.bicep").read_text()
    assert f"name: '{QUEUE}'" in bicep
    body = bicep[bicep.index("namespaces/queues@") :]
    found = re.findall(r"^    (\w+): (?:'([^']*)'|(\w+))", body, re.MULTILINE)
    return {name[0].upper() + name[1:]: text or json.loads(word) for name, text, word in found}


def _ports(service: str) -> list[int]:
    """Ports of this machine that a container is published at, all on loopback."""
    published = [port.split(":") for port in COMPOSE["services"][service]["ports"]]
    assert {host for host, _, _ in published} == {"127.0.0.1"}
    return [int(outside) for _, outside, _ in published]


@needs_azurite
def test_the_settings_lead_to_all_services() -> None:
    """With the settings that are printed the SDKs find containers, queue and database, ready for use."""
    with run_account(Ports(0, 0, 0, 0, 0)) as settings:
        prepare(settings)
        with BlobServiceClient.from_connection_string(settings["AzureWebJobsStorage"]) as service:
            assert {container.name for container in service.list_containers()} == set(BLOB_CONTAINERS)
        with CosmosClient.from_connection_string(settings["CosmosConnection"]) as client:
            listed = client.get_database_client(DATABASE).list_containers()
            assert {container["id"] for container in listed} == {container.name for container in CONTAINERS}
        with (
            ServiceBusClient.from_connection_string(settings["ServiceBusConnection"]) as bus,
            bus.get_queue_sender(QUEUE) as sender,
            bus.get_queue_receiver(QUEUE) as receiver,
        ):
            for _ in range(2):  # the queue knows a message that it has had
                sender.send_messages(ServiceBusMessage("x", message_id="one"))
            received = receiver.receive_messages(max_message_count=1, max_wait_time=30)
            received += receiver.receive_messages(max_message_count=1, max_wait_time=0.5)
            assert [str(message) for message in received] == ["x"]


@needs_azurite
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_runs_until_it_is_stopped(signal_number: int) -> None:
    """`python -m tests.emulators` prints every setting of the example, and ends cleanly, with all it started."""
    command = [sys.executable, "-m", "tests.emulators", "--any-port"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if "Ctrl-C" in line:
                break
        process.send_signal(signal_number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    printed = dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))
    assert set(EXAMPLE) <= set(printed)
    assert (
        f":{urlsplit(printed['AzureWebJobsStorage'].split('BlobEndpoint=')[1]).port}/" in printed["AzureWebJobsStorage"]
    )
    assert errors == ""


def test_the_example_settings_lead_to_the_usual_ports() -> None:
    """What stands in local.settings.json.example fits the command, and Docker's containers listen there too."""
    usual = Ports()
    assert EXAMPLE["AzureWebJobsStorage"] == "UseDevelopmentStorage=true"  # by definition these three ports
    assert [usual.blob, usual.queue, usual.table] == [10000, 10001, 10002] == _ports("storage")
    assert "Endpoint=sb://127.0.0.1;" in EXAMPLE["ServiceBusConnection"]  # by definition AMQP's port
    assert [usual.service_bus] == [5672] == _ports("servicebus")
    assert f"AccountEndpoint=http://127.0.0.1:{usual.cosmos}/;" in EXAMPLE["CosmosConnection"]
    assert [usual.cosmos] == _ports("cosmos")
    assert EXAMPLE["HARO_COSMOS_DATABASE"] == DATABASE
    assert EXAMPLE["HARO_STORAGE"] == "azure"
    assert EXAMPLE["HARO_BLOB_SOURCE"] == "polling"


def test_the_queue_is_the_same_everywhere() -> None:
    """Lock, deliveries and duplicate detection are as in Azure; Docker's emulator has them as far as it can."""
    azure = _queue_in_azure()
    assert (QUEUE_SETTINGS.lock_s, QUEUE_SETTINGS.max_deliveries, QUEUE_SETTINGS.duplicate_window_s) == (
        _duration(azure["LockDuration"]).total_seconds(),
        azure["MaxDeliveryCount"],
        _duration(azure["DuplicateDetectionHistoryTimeWindow"]).total_seconds(),
    )
    (namespace,) = json.loads((ROOT / "infra" / "emulators" / "servicebus.json").read_text())["UserConfig"][
        "Namespaces"
    ]
    (queue,) = namespace["Queues"]
    assert (namespace["Name"], queue["Name"]) == ("sbemulatorns", QUEUE)
    properties = queue["Properties"]
    for name in ("LockDuration", "MaxDeliveryCount", "DeadLetteringOnMessageExpiration", "RequiresDuplicateDetection"):
        assert properties[name] == azure[name], name
    for name, most in MOST.items():
        assert _duration(properties[name]) == min(_duration(azure[name]), most), name


def test_containers_are_pinned_and_know_no_password() -> None:
    """Every image has a version; licence and password come from the environment and have no default."""
    for name, service in COMPOSE["services"].items():
        version = service["image"].rpartition(":")[2]
        assert re.search(r"\d", version), f"{name}: {service['image']}"
        for variable in {"ACCEPT_EULA", "MSSQL_SA_PASSWORD"} & set(service.get("environment", {})):
            assert re.fullmatch(rf"\$\{{{variable}:\?[^}}]+\}}", service["environment"][variable]), name
    (mount,) = COMPOSE["services"]["servicebus"]["volumes"]
    assert (ROOT / mount.split(":")[0]).is_file()


def test_the_same_azurite_everywhere() -> None:
    """The Makefile installs the version that compose.yaml runs."""
    version = COMPOSE["services"]["storage"]["image"].rpartition(":")[2]
    assert f"azurite@{version}\n" in (ROOT / "Makefile").read_text()
