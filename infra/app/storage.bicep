// One storage account for the Functions host and for what Haro keeps: clips, detections, results.

param name string
param location string
param tags object

@description('Whether anybody who has its address may read a blob of container detections.')
param publicDetections bool

@description('Days that clips without a detection are kept; as HARO_KEEP_DAYS.')
param keepDays int

@description('Days that a deleted blob can be brought back; 0 switches this off.')
param softDeleteDays int

param zoneRedundant bool

@description('Whether the account is reached through private endpoints only.')
param isPrivate bool

@description('Container of the deployment package.')
param packageContainer string

var containers = [
  { name: 'clips', publicAccess: 'None' }
  { name: 'detections', publicAccess: publicDetections ? 'Blob' : 'None' }
  { name: 'models', publicAccess: 'None' }
  { name: 'results', publicAccess: 'None' }
  { name: packageContainer, publicAccess: 'None' }
]

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: publicDetections
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      bypass: 'AzureServices' // Event Grid publishes from here
      defaultAction: isPrivate ? 'Deny' : 'Allow'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: softDeleteDays > 0 ? { enabled: true, days: softDeleteDays } : { enabled: false }
    containerDeleteRetentionPolicy: softDeleteDays > 0 ? { enabled: true, days: softDeleteDays } : { enabled: false }
  }
}

resource blobContainers 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [
  for container in containers: {
    parent: blobs
    name: container.name
    properties: { publicAccess: container.publicAccess }
  }
]

// Azure runs the rules about once a day: a clip lives keepDays and up to a day more.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-01-01' = {
  parent: account
  name: 'default'
  dependsOn: [blobs]
  properties: {
    policy: {
      rules: [
        {
          name: 'clips-without-a-detection-go'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['clips/'] }
            actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: keepDays } } }
          }
        }
      ]
    }
  }
}

output id string = account.id
output name string = account.name
output blobEndpoint string = account.properties.primaryEndpoints.blob
output queueEndpoint string = account.properties.primaryEndpoints.queue
output tableEndpoint string = account.properties.primaryEndpoints.table
