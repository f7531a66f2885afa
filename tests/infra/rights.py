"""The built-in roles the templates give, what each allows, and what the app and its operator do: kept by hand.

Role ids and actions: learn.microsoft.com/azure/role-based-access-control/built-in-roles (storage, integration,
security, monitor) and, for Cosmos DB, learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security.
"""

ROLE_IDS = {
    "storageBlobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "storageBlobDataContributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "storageQueueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "storageTableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "serviceBusDataOwner": "090c5cfd-751d-490a-894a-3ce6f1109419",
    "serviceBusDataReceiver": "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
    "serviceBusDataSender": "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "cosmosDataContributor": "00000000-0000-0000-0000-000000000002",
}

ALLOWS = {
    "storageBlobDataOwner": {"own blobs", "blobs", "sign links"},
    "storageBlobDataContributor": {"blobs", "sign links"},
    "storageQueueDataContributor": {"storage queues"},
    "storageTableDataContributor": {"tables"},
    "serviceBusDataOwner": {"receive", "send", "see the length"},
    "serviceBusDataReceiver": {"receive"},
    "serviceBusDataSender": {"send"},
    "monitoringMetricsPublisher": {"publish telemetry"},
    "keyVaultSecretsUser": {"read secrets"},
    "cosmosDataContributor": {"documents"},
}

NEEDS = {
    # The host: learn.microsoft.com/azure/azure-functions/functions-reference, "Connecting to host storage with an
    # identity"; the length of the queue: .../functions-target-based-scaling, "Service Bus queues and topics".
    ("app", "storage"): {"own blobs", "blobs", "sign links", "storage queues", "tables"},
    ("app", "serviceBus::queue"): {"receive", "send", "see the length"},
    ("app", "cosmos"): {"documents"},
    ("app", "vault"): {"read secrets"},
    ("app", "insights"): {"publish telemetry"},
    ("people", "storage"): {"blobs", "sign links"},
    ("people", "serviceBus::queue"): {"receive", "send"},
    ("people", "cosmos"): {"documents"},
}

SDK_CALLS = {
    "upload_blob": "blobs",
    "get_user_delegation_key": "sign links",
    "send_messages": "send",
    "peek_messages": "receive",
    "create_item": "documents",
    "query_items": "documents",
}
"""Calls of the storage adapters, and the right each one needs."""
