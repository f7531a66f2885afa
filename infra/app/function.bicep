// The function app on a Flex Consumption plan, and every setting it runs with.

param name string
param planName string
param location string
param tags object
param identityId string
param identityClientId string

@description('Blob address of the container for the deployment package.')
param packageUrl string

@allowed([2048, 4096])
param instanceMemoryMB int

@minValue(40)
@maxValue(1000)
param maximumInstanceCount int

@description('Instances of the function `score` that never sleep.')
param alwaysReadyScoring int

param zoneRedundant bool

@description('Subnet the app reaches private endpoints through; empty: none.')
param subnetId string

param blobEndpoint string
param queueEndpoint string
param tableEndpoint string
param serviceBusHost string
param cosmosEndpoint string
param insightsConnectionString string

@description('Settings of Haro that depend on the environment: HARO_ names and their values.')
param haroSettings object

// As the Functions host and Haro read them. Flex takes language and version from functionAppConfig alone.
var appSettings = {
  AzureWebJobsStorage__blobServiceUri: blobEndpoint
  AzureWebJobsStorage__queueServiceUri: queueEndpoint
  AzureWebJobsStorage__tableServiceUri: tableEndpoint
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  ServiceBusConnection__fullyQualifiedNamespace: serviceBusHost
  ServiceBusConnection__credential: 'managedidentity'
  ServiceBusConnection__clientId: identityClientId
  CosmosConnection__accountEndpoint: cosmosEndpoint
  AZURE_CLIENT_ID: identityClientId
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  HARO_STORAGE: 'azure'
  HARO_BLOB_SOURCE: 'eventgrid'
  HARO_POLL_SCHEDULE: '*/20 * * * * *'
  HARO_DEADLETTER_SCHEDULE: '0 */5 * * * *'
  HARO_RECONCILE_SCHEDULE: '30 */10 * * * *'
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true, zoneRedundant: zoneRedundant }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'haro' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: { minTlsVersion: '1.2' }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageUrl
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      // The build in Azure has been seen to install for 3.11 whatever stands here:
      // https://github.com/Azure/azure-dev/issues/8538
      runtime: { name: 'python', version: '3.11' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: alwaysReadyScoring > 0 ? [{ name: 'function:score', instanceCount: alwaysReadyScoring }] : []
        triggers: { http: { perInstanceConcurrency: 1 } } // one Python worker, and only health checks come by HTTP
      }
    }
  }

  // Publishing with a password is off; azd signs in.
  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false }
  }
}

resource settings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: union(appSettings, haroSettings)
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
