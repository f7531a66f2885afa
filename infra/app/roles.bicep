// Who may do what. Everything else is refused: no service here accepts a key.
// The app: what its host and its code need. People (the one who deploys): what `haro` needs from a terminal.

param appPrincipalId string

@description('Object id of the person or pipeline that deploys; empty: nobody.')
param principalId string

@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string

param storageName string
param serviceBusName string
param queueName string
param cosmosName string
param vaultName string
param insightsName string

var roles = {
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  storageQueueDataContributor: '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  storageTableDataContributor: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  serviceBusDataOwner: '090c5cfd-751d-490a-894a-3ce6f1109419'
  serviceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  serviceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
}

// The host keeps locks, keys and timers in blobs (owner), poison messages in queues, its diagnostics in tables. Owner
// at the account also signs links (generateUserDelegationKey), so the app's own blobs need nothing more.
var appStorageRoles = [
  roles.storageBlobDataOwner
  roles.storageQueueDataContributor
  roles.storageTableDataContributor
]

// Contributor at the account also signs links.
var peopleStorageRoles = [roles.storageBlobDataContributor]

// To look at the queue and to replay dead letters.
var peopleQueueRoles = [roles.serviceBusDataReceiver, roles.serviceBusDataSender]

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: storageName
}

resource serviceBus 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: serviceBusName

  resource queue 'queues' existing = {
    name: queueName
  }
}

resource cosmos 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: cosmosName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource appOnStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in appStorageRoles: {
    name: guid(storage.id, appPrincipalId, role)
    scope: storage
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource peopleOnStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in peopleStorageRoles: if (!empty(principalId)) {
    name: guid(storage.id, principalId, role)
    scope: storage
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
      principalId: principalId
      principalType: principalType
    }
  }
]

// Owner of this one queue, not of the namespace: beside sending and receiving, Azure must see its length to add instances
// by it (target-based scaling needs the right to manage).
resource appOnQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(serviceBus::queue.id, appPrincipalId, roles.serviceBusDataOwner)
  scope: serviceBus::queue
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataOwner)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource peopleOnQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in peopleQueueRoles: if (!empty(principalId)) {
    name: guid(serviceBus::queue.id, principalId, role)
    scope: serviceBus::queue
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
      principalId: principalId
      principalType: principalType
    }
  }
]

// Cosmos DB has roles of its own; 2 is Built-in Data Contributor. It reads and writes documents and their containers'
// description, and makes neither databases nor containers. The account holds one database, and SDKs read the account's
// own description first, so the scope is the account.
var cosmosContributor = '${cosmos.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002'

resource appOnDocuments 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = {
  parent: cosmos
  name: guid(cosmos.id, appPrincipalId)
  properties: {
    roleDefinitionId: cosmosContributor
    principalId: appPrincipalId
    scope: cosmos.id
  }
}

resource peopleOnDocuments 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = if (!empty(principalId)) {
  parent: cosmos
  dependsOn: [appOnDocuments] // an account takes one change at a time
  name: guid(cosmos.id, principalId)
  properties: {
    roleDefinitionId: cosmosContributor
    principalId: principalId
    scope: cosmos.id
  }
}

resource appOnSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, appPrincipalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appOnMetrics 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, appPrincipalId, roles.monitoringMetricsPublisher)
  scope: insights
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}
