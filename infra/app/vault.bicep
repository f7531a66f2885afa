// The addresses of people to be told hold passwords and keys. Each lies here, only if it was given.
// Purge protection stays off: it would block the vault's name for a week after `azd down --purge`, and what lies here
// can be typed again.

param name string
param location string
param tags object

@secure()
param moderatorChannels string

@secure()
param subscriberChannels string

@secure()
param orcasiteChannels string

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 7
    publicNetworkAccess: 'Enabled'
  }
}

resource moderators 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(moderatorChannels)) {
  parent: vault
  name: 'moderator-channels'
  properties: { value: moderatorChannels, contentType: 'text/plain' }
}

resource subscribers 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(subscriberChannels)) {
  parent: vault
  name: 'subscriber-channels'
  properties: { value: subscriberChannels, contentType: 'text/plain' }
}

resource orcasite 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = if (!empty(orcasiteChannels)) {
  parent: vault
  name: 'orcasite-channels'
  properties: { value: orcasiteChannels, contentType: 'text/plain' }
}

output name string = vault.name
