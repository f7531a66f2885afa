"""One way to each service in Azure, all that is wrong told at once, and no secret in it."""

from __future__ import annotations

import pytest

from shared.connections import Connections, is_emulator, load_connections, variable_name
from shared.errors import SettingsError

KEY = "U0VDUkVUU0VDUkVU"
REAL = {
    "ServiceBusConnection__fullyQualifiedNamespace": "haro.servicebus.windows.net",
    "CosmosConnection__accountEndpoint": "https://haro.documents.azure.com:443/",
    "AzureWebJobsStorage__blobServiceUri": "https://haro.blob.core.windows.net",
}
EMULATORS = {
    "ServiceBusConnection": f"Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=a;SharedAccessKey={KEY}",
    "CosmosConnection": f"AccountEndpoint=http://localhost:8081/;AccountKey={KEY};",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
}


@pytest.fixture(autouse=True)
def no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection of the machine's own."""
    for name in (*REAL, *EMULATORS):
        monkeypatch.delenv(name, raising=False)


def given(monkeypatch: pytest.MonkeyPatch, names: dict[str, str]) -> Connections:
    """The connections with these variables set."""
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    return load_connections()


def test_real_services_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses under the host's own names are enough."""
    connections = given(monkeypatch, REAL)

    assert connections.service_bus_namespace == "haro.servicebus.windows.net"
    assert connections.cosmos_endpoint == "https://haro.documents.azure.com:443/"
    assert connections.blob_service_uri == "https://haro.blob.core.windows.net"


def test_emulators_by_connection_string(monkeypatch: pytest.MonkeyPatch) -> None:
    """An emulator's string is taken, and not shown."""
    connections = given(monkeypatch, EMULATORS)

    assert connections.cosmos.get_secret_value() == EMULATORS["CosmosConnection"]
    assert KEY not in repr(connections)


def test_all_that_is_missing_is_told_at_once() -> None:
    """Without any connection, each of the three is named with both its variables."""
    with pytest.raises(SettingsError) as caught:
        load_connections()

    assert all(name in str(caught.value) for name in (*REAL, *EMULATORS))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ServiceBusConnection", f"Endpoint=sb://haro.servicebus.windows.net/;SharedAccessKey={KEY}"),
        ("CosmosConnection", f"AccountEndpoint=https://haro.documents.azure.com:443/;AccountKey={KEY};"),
        ("AzureWebJobsStorage", f"DefaultEndpointsProtocol=https;AccountName=haro;AccountKey={KEY}"),
    ],
)
def test_keys_of_real_services_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """A real service's connection string is refused, named by its variable; the key is nowhere in the error."""
    with pytest.raises(SettingsError, match=f"{name} is no emulator's") as caught:
        given(monkeypatch, EMULATORS | {name: value})

    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UseDevelopmentStorage=true", True),
        ("Endpoint=sb://servicebus;SharedAccessKey=x;UseDevelopmentEmulator=true;", True),
        ("AccountEndpoint=https://cosmos:8081/;AccountKey=x", True),
        ("BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;AccountKey=x", True),
        ("BlobEndpoint=https://haro.blob.core.windows.net;AccountKey=x", False),
        ("AccountEndpoint=https://localhost.example.org/;AccountKey=x", False),
        ("Endpoint=sb://haro.servicebus.windows.net/;SharedAccessKey=x;UseDevelopmentEmulator=true", False),
        ("", False),
    ],
)
def test_what_counts_as_an_emulator(text: str, *, expected: bool) -> None:
    """This machine and hosts without a domain are emulators; a name that merely begins so is not."""
    assert is_emulator(text) == expected


def test_each_field_has_its_variable() -> None:
    """Every connection is read from one variable that can be named."""
    assert {variable_name(field) for field in Connections.model_fields} == {*REAL, *EMULATORS}
