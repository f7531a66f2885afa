"""What the app is told, against what the code reads and the triggers bind."""

from __future__ import annotations

import re

import pytest

from shared.connections import Connections, load_connections
from shared.connections import variable_name as connection_name
from shared.settings import Settings, load_settings, variable_name
from tests.infra.project import FUNCTION, TEMPLATES, app_settings, as_deployed, bindings

HOST_STORAGE = {"blobServiceUri", "queueServiceUri", "tableServiceUri"}
ADDRESSES = {"AzureWebJobsStorage": HOST_STORAGE, "ServiceBusConnection": {"fullyQualifiedNamespace"}}
"""What of each connection says where it leads, as the Functions host wants it."""


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment as in the deployed app."""
    settings = as_deployed()
    for name, content in settings.items():
        monkeypatch.setenv(name, content)
    return settings


def test_haro_takes_what_it_is_given(deployed: dict[str, str]) -> None:
    """The app's own readers accept the deployed settings: no unknown name, no wrong value, nothing missing."""
    settings, connections = load_settings(), load_connections()

    assert settings.storage == "azure"
    assert settings.blob_source == "eventgrid"
    assert connections.service_bus_namespace == deployed["ServiceBusConnection__fullyQualifiedNamespace"]
    assert not any((connections.service_bus, connections.cosmos, connections.storage))


def test_each_haro_name_is_a_setting() -> None:
    """No app setting starts with HARO_ that Haro does not know."""
    names = {name for name in app_settings() if name.startswith("HARO_")}

    assert names
    assert names <= {variable_name(field) for field in Settings.model_fields}


def test_defaults_of_the_deployment_are_those_of_the_code(deployed: dict[str, str]) -> None:
    """Who sets nothing gets what Haro does everywhere: only where things are kept differs."""
    settings = load_settings()
    secret = {"moderator_channels", "subscriber_channels", "orcasite_channels"}  # made up here
    for name, field in Settings.model_fields.items():
        if variable_name(name) in deployed and name not in {"storage", *secret}:
            assert getattr(settings, name) == field.default, name


def test_there_are_bindings_to_check() -> None:
    """The functions that the checks below are about were found."""
    assert {name for name, _ in bindings()} >= {
        "enqueue",
        "score",
        "record",
        "deadletter",
        "reconcile",
        "live",
        "ready",
    }


@pytest.mark.parametrize(("function", "arguments"), list(bindings()), ids=[name for name, _ in bindings()])
def test_what_a_trigger_binds_is_set(function: str, arguments: dict[str, str]) -> None:
    """Each %NAME% is an app setting; each connection has its addresses, says `managedidentity` and whose."""
    settings = app_settings()
    for text in arguments.values():
        assert set(re.findall(r"%(\w+)%", text)) <= set(settings), function
    if connection := arguments.get("connection"):
        parts = {name.partition("__")[2] for name in settings if name.startswith(f"{connection}__")}

        assert parts == ADDRESSES[connection] | {"credential", "clientId"}
        assert settings[f"{connection}__credential"] == "managedidentity"
        assert settings[f"{connection}__clientId"] == settings["AZURE_CLIENT_ID"] == "identityClientId"


def test_every_address_the_code_asks_for_is_set_and_no_connection_string() -> None:
    """Each service's address is given; the settings for an emulator's string are not."""
    names = {connection_name(field) for field in Connections.model_fields}
    addresses = {name for name in names if "__" in name}

    assert len(addresses) == 3
    assert addresses <= set(app_settings())
    assert set(app_settings()).isdisjoint(names - addresses)


def test_schedules_have_six_fields(deployed: dict[str, str]) -> None:
    """NCRONTAB begins with seconds; five fields would run a function once a minute instead."""
    schedules = {name: text.split() for name, text in deployed.items() if name.endswith("_SCHEDULE")}

    assert len(schedules) == 3
    assert all(len(fields) == 6 for fields in schedules.values())
    assert all(re.fullmatch(r"[\d*/,-]+", field) for fields in schedules.values() for field in fields)


def test_telemetry_goes_out_under_the_apps_identity() -> None:
    """Application Insights takes no key: the exporter is told to sign in, and as whom."""
    settings = app_settings()

    assert settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"] == "'ClientId=${identityClientId};Authorization=AAD'"
    assert settings["APPLICATIONINSIGHTS_CONNECTION_STRING"] == "insightsConnectionString"


def test_secrets_are_references_to_the_vault_and_only_if_given() -> None:
    """A channel setting is where its secret lies, under the name that vault.bicep writes it by, when there is one."""
    main = TEMPLATES["main.bicep"]
    secrets = [one for one in TEMPLATES["app/vault.bicep"].resources if one.type.endswith("/secrets")]
    source = main.variables["secretSettings"]

    assert len(secrets) == 3
    for one in secrets:
        parameter = one.body["properties"]["value"]
        assert one.condition == f"(!empty({parameter}))"
        assert "secure" in main.parameters[parameter].decorators
        name = "HARO_" + re.sub(r"(?=[A-Z])", "_", str(parameter)).upper()
        assert f"empty({parameter}) ? {{}} : {{ {name}: '${{secretOf}}{one.body['name']})' }}" in source
    assert main.variables["secretOf"].startswith("'@Microsoft.KeyVault(VaultName=")
    assert FUNCTION.resource("app").body["properties"]["keyVaultReferenceIdentity"] == "identityId"
    assert FUNCTION.resource("settings").body["properties"] == "union(appSettings, haroSettings)"
