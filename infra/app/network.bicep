// Optional: storage and documents without a public address. Service Bus (Standard) and Key Vault keep theirs: the one
// has private endpoints only in its Premium tier, the other holds nothing but channel addresses; both ask for Entra ID.

param name string
param location string
param tags object
param endpointPrefix string
param storageId string
param cosmosId string

var endpoints = [
  { name: 'blob', resourceId: storageId, zone: 'privatelink.blob.${environment().suffixes.storage}' }
  { name: 'queue', resourceId: storageId, zone: 'privatelink.queue.${environment().suffixes.storage}' }
  { name: 'table', resourceId: storageId, zone: 'privatelink.table.${environment().suffixes.storage}' }
  { name: 'Sql', resourceId: cosmosId, zone: 'privatelink.documents.azure.com' }
]

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.0.0.0/16'] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: '10.0.2.0/23'
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: { addressPrefix: '10.0.4.0/24', privateEndpointNetworkPolicies: 'Disabled' }
      }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for endpoint in endpoints: {
    name: endpoint.zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (endpoint, i) in endpoints: {
    parent: zones[i]
    name: '${name}-${endpoint.name}'
    location: 'global'
    tags: tags
    properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
  }
]

// One after the other: three of them change the same storage account, which takes one change at a time.
@batchSize(1)
resource privateEndpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for endpoint in endpoints: {
    name: '${endpointPrefix}${endpoint.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: network::endpointSubnet.id }
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: { privateLinkServiceId: endpoint.resourceId, groupIds: [endpoint.name] }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (endpoint, i) in endpoints: {
    parent: privateEndpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [{ name: endpoint.name, properties: { privateDnsZoneId: zones[i].id } }]
    }
  }
]

output appSubnetId string = network::appSubnet.id
