"""What the app must be: its functions with their triggers, and app settings it must be content with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXPECTED: Mapping[str, Mapping[str, Any]] = {
    "enqueue": {"type": "timerTrigger", "schedule": "*/20 * * * * *", "useMonitor": True},
    "score": {
        "type": "serviceBusTrigger",
        "queueName": "segment-batches",
        "connection": "ServiceBusConnection",
    },
    "record": {"type": "blobTrigger", "path": "results/{name}", "connection": "AzureWebJobsStorage"},
    "deadletter": {"type": "timerTrigger", "schedule": "0 */5 * * * *", "useMonitor": True},
    "reconcile": {"type": "timerTrigger", "schedule": "30 */10 * * * *", "useMonitor": True},
    "live": {"type": "httpTrigger", "route": "health/live", "methods": ["GET"], "authLevel": "ANONYMOUS"},
    "ready": {"type": "httpTrigger", "route": "health/ready", "methods": ["GET"], "authLevel": "ANONYMOUS"},
}
"""Every function of the app, and what its trigger must be."""

SCHEDULES = {
    "HARO_POLL_SCHEDULE": "*/20 * * * * *",
    "HARO_DEADLETTER_SCHEDULE": "0 */5 * * * *",
    "HARO_RECONCILE_SCHEDULE": "30 */10 * * * *",
}
EMULATORS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "ServiceBusConnection": "Endpoint=sb://localhost;UseDevelopmentEmulator=true;",
}
IDENTITIES = {
    "AzureWebJobsStorage__blobServiceUri": "https://haro.blob.core.windows.net",
    "AzureWebJobsStorage__queueServiceUri": "https://haro.queue.core.windows.net",
    "AzureWebJobsStorage__tableServiceUri": "https://haro.table.core.windows.net",
    "AzureWebJobsStorage__credential": "managedidentity",
    "AzureWebJobsStorage__clientId": "00000000-0000-0000-0000-000000000001",
    "ServiceBusConnection__fullyQualifiedNamespace": "haro.servicebus.windows.net",
    "ServiceBusConnection__credential": "managedidentity",
    "ServiceBusConnection__clientId": "00000000-0000-0000-0000-000000000001",
    "CosmosConnection__accountEndpoint": "https://haro.documents.azure.com:443/",
    "AZURE_CLIENT_ID": "00000000-0000-0000-0000-000000000001",
}
