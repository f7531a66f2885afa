// The queue between finding sound and scoring it. Standard: Basic has no duplicate detection.

param name string
param location string
param tags object

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Standard' }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled' // private endpoints need the Premium tier
  }
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: 'segment-batches'
  properties: {
    lockDuration: 'PT5M' // the longest there is; a minute of sound takes seconds
    maxDeliveryCount: 5
    deadLetteringOnMessageExpiration: true // what was never scored is set aside, not dropped
    defaultMessageTimeToLive: 'P14D' // longer than any holiday an outage can hide in
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'P7D' // as the queue of a station; Cosmos DB can be set back as far, no further
    maxSizeInMegabytes: 1024
    enablePartitioning: false // order by age, as far as there is one
  }
}

output id string = namespace.id
output name string = namespace.name
output queueName string = queue.name
output host string = '${namespace.name}.servicebus.windows.net'
