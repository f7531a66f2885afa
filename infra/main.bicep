// Haro on Azure: everything it needs, and no key anywhere. docs/deploy.md says how to use it.

targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the environment; part of the names of all that is made.')
param environmentName string

@minLength(1)
@description('Where everything is made: a region that has Flex Consumption.')
@metadata({ azd: { type: 'location' } })
param location string

@description('Object id of the person or pipeline that deploys, who then may use `haro` on what was deployed.')
param principalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
param principalType string = 'User'

@description('Memory of one instance, in MB; a core goes with 2048.')
@allowed([2048, 4096])
param instanceMemoryMB int = 2048

@description('Instances at most; 40 are far more than a hundred hydrophones need.')
@minValue(40)
@maxValue(1000)
param maximumInstanceCount int = 40

@description('Instances of the function `score` that never sleep.')
@minValue(0)
@maxValue(1000)
param alwaysReadyScoring int = 0

@description('Spread over the zones of the region, which must have some. Not to be changed afterwards.')
param zoneRedundant bool = false

@description('Give storage and documents private addresses only. Not to be changed afterwards.')
param vnetEnabled bool = false

@description('Let anybody who has its address read a blob of container detections, as tools of OrcaHello expect.')
param publicDetections bool = false

@description('Days that a deleted blob can be brought back; 0 switches this off.')
@minValue(0)
@maxValue(365)
param softDeleteDays int = 7

@description('Gigabytes of logs and metrics a day at most; -1 for no limit.')
@minValue(-1)
param logDailyCapGb int = 1

@description('Who is told when something is wrong; empty: nobody.')
param alertEmail string = ''

@description('HARO_COSMOS_DATABASE')
param cosmosDatabase string = 'predictions'

@description('HARO_HYDROPHONES: file of hydrophones, from the root of this project; empty: Orcasound\'s public ones.')
param hydrophones string = ''

@description('HARO_KEEP_CLIPS')
@allowed(['all', 'detections'])
param keepClips string = 'all'

@description('HARO_KEEP_DAYS, in whole days')
@minValue(1)
@maxValue(36500)
param keepDays int = 2

@description('HARO_LOG_LEVEL')
@allowed(['DEBUG', 'INFO', 'WARNING', 'ERROR'])
param logLevel string = 'INFO'

@secure()
@description('HARO_MODERATOR_CHANNELS')
param moderatorChannels string = ''

@secure()
@description('HARO_SUBSCRIBER_CHANNELS')
param subscriberChannels string = ''

@secure()
@description('HARO_ORCASITE_CHANNELS')
param orcasiteChannels string = ''

var abbreviations = loadJsonContent('./abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }
var packageContainer = 'app-package'

// What Haro reads as HARO_ names: plain values, and where in the vault the secret ones lie, as far as they were given.
var plainSettings = {
  HARO_COSMOS_DATABASE: cosmosDatabase
  HARO_HYDROPHONES: hydrophones
  HARO_KEEP_CLIPS: keepClips
  HARO_KEEP_DAYS: string(keepDays)
  HARO_LOG_LEVEL: logLevel
}
var vaultName = '${abbreviations.keyVaults}${token}'
var secretOf = '@Microsoft.KeyVault(VaultName=${vaultName};SecretName='
var secretSettings = union(
  empty(moderatorChannels) ? {} : { HARO_MODERATOR_CHANNELS: '${secretOf}moderator-channels)' },
  empty(subscriberChannels) ? {} : { HARO_SUBSCRIBER_CHANNELS: '${secretOf}subscriber-channels)' },
  empty(orcasiteChannels) ? {} : { HARO_ORCASITE_CHANNELS: '${secretOf}orcasite-channels)' }
)

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: '${abbreviations.resourceGroups}${environmentName}'
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: '${abbreviations.identities}${token}'
    location: location
    tags: tags
  }
}

module monitoring 'app/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: '${abbreviations.logAnalyticsWorkspaces}${token}'
    insightsName: '${abbreviations.applicationInsights}${token}'
    location: location
    tags: tags
    dailyCapGb: logDailyCapGb
  }
}

module storage 'app/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: '${abbreviations.storageAccounts}${token}'
    location: location
    tags: tags
    publicDetections: publicDetections
    keepDays: keepDays
    softDeleteDays: softDeleteDays
    zoneRedundant: zoneRedundant
    isPrivate: vnetEnabled
    packageContainer: packageContainer
  }
}

module serviceBus 'app/servicebus.bicep' = {
  name: 'servicebus'
  scope: group
  params: {
    name: '${abbreviations.serviceBusNamespaces}${token}'
    location: location
    tags: tags
  }
}

module cosmos 'app/cosmos.bicep' = {
  name: 'cosmos'
  scope: group
  params: {
    name: '${abbreviations.cosmosAccounts}${token}'
    location: location
    tags: tags
    databaseName: cosmosDatabase
    isPrivate: vnetEnabled
    zoneRedundant: zoneRedundant
  }
}

module vault 'app/vault.bicep' = {
  name: 'vault'
  scope: group
  params: {
    name: vaultName
    location: location
    tags: tags
    moderatorChannels: moderatorChannels
    subscriberChannels: subscriberChannels
    orcasiteChannels: orcasiteChannels
  }
}

module network 'app/network.bicep' = if (vnetEnabled) {
  name: 'network'
  scope: group
  params: {
    name: '${abbreviations.virtualNetworks}${token}'
    location: location
    tags: tags
    endpointPrefix: '${abbreviations.privateEndpoints}${token}-'
    storageId: storage.outputs.id
    cosmosId: cosmos.outputs.id
  }
}

module roles 'app/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    appPrincipalId: identity.outputs.principalId
    principalId: principalId
    principalType: principalType
    storageName: storage.outputs.name
    serviceBusName: serviceBus.outputs.name
    queueName: serviceBus.outputs.queueName
    cosmosName: cosmos.outputs.name
    vaultName: vault.outputs.name
    insightsName: monitoring.outputs.insightsName
  }
}

module function 'app/function.bicep' = {
  name: 'function'
  scope: group
  dependsOn: [roles] // an app without rights fails at its first breath
  params: {
    name: '${abbreviations.functionApps}${token}'
    planName: '${abbreviations.plans}${token}'
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    packageUrl: '${storage.outputs.blobEndpoint}${packageContainer}'
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyScoring: alwaysReadyScoring
    zoneRedundant: zoneRedundant
    subnetId: vnetEnabled ? network!.outputs.appSubnetId : ''
    blobEndpoint: storage.outputs.blobEndpoint
    queueEndpoint: storage.outputs.queueEndpoint
    tableEndpoint: storage.outputs.tableEndpoint
    serviceBusHost: serviceBus.outputs.host
    cosmosEndpoint: cosmos.outputs.endpoint
    insightsConnectionString: monitoring.outputs.connectionString
    haroSettings: union(plainSettings, secretSettings)
  }
}

module events 'app/events.bicep' = {
  name: 'events'
  scope: group
  params: {
    name: '${abbreviations.eventGridSystemTopics}${token}'
    location: location
    tags: tags
    storageId: storage.outputs.id
  }
}

module alerts 'app/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    groupName: '${abbreviations.actionGroups}${token}'
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    serviceBusId: serviceBus.outputs.id
    queueName: serviceBus.outputs.queueName
    email: alertEmail
  }
}

module workbook 'app/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
  }
}

// What azd keeps in .azure/<environment>/.env, for the hook, for people and for `haro doctor --azure`.
output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_TENANT_ID string = tenant().tenantId
output BLOB_SERVICE_URI string = storage.outputs.blobEndpoint
output COSMOS_DATABASE string = cosmos.outputs.databaseName
output COSMOS_ENDPOINT string = cosmos.outputs.endpoint
output EVENT_TOPIC_NAME string = events.outputs.name
output FUNCTION_APP_NAME string = function.outputs.name
output FUNCTION_APP_URL string = function.outputs.url
output SERVICE_BUS_NAMESPACE string = serviceBus.outputs.host
output WORKBOOK_ID string = workbook.outputs.id
