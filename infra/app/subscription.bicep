// Each new result calls the function `record`. Deployed by infra/hooks/postdeploy.sh: the key of the blobs extension
// exists only once the app's code runs. Azure reads it here by itself, so it is never in a shell or a log.

param topicName string
param functionAppName string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' existing = {
  name: topicName
}

resource functionApp 'Microsoft.Web/sites@2024-11-01' existing = {
  name: functionAppName
}

var key = listKeys('${functionApp.id}/host/default', '2024-11-01').systemKeys.blobs_extension

resource results 'Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15' = {
  parent: topic
  name: 'results'
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: 'https://${functionApp.properties.defaultHostName}/runtime/webhooks/blobs?functionName=Host.Functions.record&code=${key}'
        maxEventsPerBatch: 1
      }
    }
    filter: {
      includedEventTypes: ['Microsoft.Storage.BlobCreated']
      subjectBeginsWith: '/blobServices/default/containers/results/'
    }
    eventDeliverySchema: 'EventGridSchema'
    // What is still not delivered after a day, the function `reconcile` has recorded long before.
    retryPolicy: { maxDeliveryAttempts: 30, eventTimeToLiveInMinutes: 1440 }
  }
}
