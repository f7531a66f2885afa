"""Every resource type the templates use, with the version of its interface, each looked up by hand.

The reference of a type is https://learn.microsoft.com/azure/templates/<type>?pivots=deployment-language-bicep with the
version before the last part, such as .../microsoft.servicebus/2024-01-01/namespaces/queues. "AVM" is the index of
resource types in the README of an Azure Verified Module (github.com/Azure/bicep-registry-modules, avm/res/...), which
deploys that very version in its own tests.
"""

REFERENCE = "Microsoft Learn template reference"

RESOURCE_TYPES = {
    "Microsoft.Authorization/roleAssignments": ("2022-04-01", "AVM web/site, storage/storage-account"),
    "Microsoft.DocumentDB/databaseAccounts": ("2025-04-15", "AVM document-db/database-account"),
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases": ("2025-04-15", REFERENCE),
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers": ("2025-04-15", REFERENCE),
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments": ("2025-04-15", "AVM document-db/database-account"),
    "Microsoft.EventGrid/systemTopics": ("2025-02-15", "AVM event-grid/system-topic"),
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": ("2025-02-15", "AVM event-grid/system-topic"),
    "Microsoft.Insights/actionGroups": ("2023-01-01", REFERENCE),
    "Microsoft.Insights/components": ("2020-02-02", "AVM insights/component"),
    "Microsoft.Insights/metricAlerts": ("2018-03-01", "AVM insights/metric-alert"),
    "Microsoft.Insights/scheduledQueryRules": ("2023-12-01", REFERENCE),
    "Microsoft.Insights/workbooks": ("2023-06-01", REFERENCE),
    "Microsoft.KeyVault/vaults": ("2024-11-01", "AVM key-vault/vault"),
    "Microsoft.KeyVault/vaults/secrets": ("2024-11-01", "AVM key-vault/vault"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("2024-11-30", "AVM managed-identity/user-assigned-identity"),
    "Microsoft.Network/privateDnsZones": ("2024-06-01", REFERENCE),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("2024-06-01", REFERENCE),
    "Microsoft.Network/privateEndpoints": ("2024-05-01", REFERENCE),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ("2024-05-01", REFERENCE),
    "Microsoft.Network/virtualNetworks": ("2024-05-01", REFERENCE),
    "Microsoft.Network/virtualNetworks/subnets": ("2024-05-01", REFERENCE),
    "Microsoft.OperationalInsights/workspaces": ("2025-02-01", "AVM operational-insights/workspace"),
    "Microsoft.Resources/resourceGroups": ("2024-03-01", "functions-quickstart-python-azd-eventgrid-blob"),
    "Microsoft.ServiceBus/namespaces": ("2024-01-01", "AVM service-bus/namespace"),
    "Microsoft.ServiceBus/namespaces/queues": ("2024-01-01", "AVM service-bus/namespace"),
    "Microsoft.Storage/storageAccounts": ("2025-01-01", REFERENCE),
    "Microsoft.Storage/storageAccounts/blobServices": ("2025-01-01", "AVM storage/storage-account"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("2025-01-01", "AVM storage/storage-account"),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("2025-01-01", REFERENCE),
    "Microsoft.Web/serverfarms": ("2024-11-01", REFERENCE),
    "Microsoft.Web/sites": ("2024-11-01", REFERENCE),
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": ("2024-11-01", REFERENCE),
    "Microsoft.Web/sites/config": ("2024-11-01", REFERENCE),
}
