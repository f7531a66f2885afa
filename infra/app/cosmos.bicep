// The documents: serverless, with vector search, no keys. containers.json is made from the code.

param name string
param location string
param tags object

@description('Name of the database; OrcaHello calls it predictions.')
param databaseName string

@description('Whether the account is reached through private endpoints only.')
param isPrivate bool

param zoneRedundant bool

var containers = loadJsonContent('../containers.json')

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    capabilities: [
      { name: 'EnableServerless' }
      { name: 'EnableNoSQLVectorSearch' }
    ]
    locations: [{ locationName: location, failoverPriority: 0, isZoneRedundant: zoneRedundant }]
    consistencyPolicy: { defaultConsistencyLevel: 'Session' }
    backupPolicy: { type: 'Continuous', continuousModeProperties: { tier: 'Continuous7Days' } }
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: databaseName
  tags: tags
  properties: { resource: { id: databaseName } }
}

resource databaseContainers 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = [
  for container in containers: {
    parent: database
    name: container.id
    tags: tags
    properties: { resource: container }
  }
]

output id string = account.id
output name string = account.name
output databaseName string = database.name
output endpoint string = account.properties.documentEndpoint
