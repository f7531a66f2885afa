"""How Haro reaches its services in Azure: under the very names by which the Functions host reaches them."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.errors import SettingsError

_ENDPOINT = re.compile(r"(?:^|;)(?:Endpoint|AccountEndpoint|BlobEndpoint)=([^;]+)", re.IGNORECASE)
_PAIRS = (("service_bus", "service_bus_namespace"), ("cosmos", "cosmos_endpoint"), ("storage", "blob_service_uri"))
_LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


class Connections(BaseSettings):
    """One way to each service: the address of the real one, to which an identity is shown, or an emulator's string."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,  # connection strings are secrets
        populate_by_name=True,
    )

    service_bus: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="ServiceBusConnection",
        description="Connection string of a Service Bus emulator.",
    )
    service_bus_namespace: str = Field(
        default="",
        validation_alias="ServiceBusConnection__fullyQualifiedNamespace",
        description="Service Bus namespace, such as haro.servicebus.windows.net.",
    )
    cosmos: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="CosmosConnection",
        description="Connection string of a Cosmos DB emulator.",
    )
    cosmos_endpoint: str = Field(
        default="",
        validation_alias="CosmosConnection__accountEndpoint",
        description="Cosmos DB account, such as https://haro.documents.azure.com:443/.",
    )
    storage: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="AzureWebJobsStorage",
        description="Connection string of a storage emulator.",
    )
    blob_service_uri: str = Field(
        default="",
        validation_alias="AzureWebJobsStorage__blobServiceUri",
        description="Blob service of the storage account, such as https://haro.blob.core.windows.net.",
    )

    @model_validator(mode="after")
    def _one_way_each(self) -> Self:
        wrong = []
        for string_field, address_field in _PAIRS:
            names = variable_name(string_field), variable_name(address_field)
            string, address = getattr(self, string_field), getattr(self, address_field)
            if not address and not string.get_secret_value():
                wrong.append(f"{names[1]} is not set (nor {names[0]}, for an emulator)")
            elif not address and not is_emulator(string.get_secret_value()):
                wrong.append(f"{names[0]} is no emulator's: no keys are used: set {names[1]}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def load_connections() -> Connections:
    """Read the connections from the environment. Raises SettingsError that names all that is wrong, and no secret."""
    try:
        return Connections()
    except ValidationError as error:
        reasons = "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
        raise SettingsError(f"HARO_STORAGE is azure, and {reasons} (docs/settings.md)") from None


def variable_name(field: str) -> str:
    """The environment variable that carries a connection."""
    return str(Connections.model_fields[field].validation_alias)


def is_emulator(connection_string: str) -> bool:
    """Whether a connection string leads to an emulator: its hosts are this machine, or have no domain."""
    hosts = [urlsplit(endpoint).hostname or "" for endpoint in _ENDPOINT.findall(connection_string)]
    if not hosts:
        return re.search(r"UseDevelopmentStorage=true", connection_string, re.IGNORECASE) is not None
    return all(host in _LOCAL_HOSTS or (host and "." not in host) for host in hosts)
