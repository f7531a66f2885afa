// Where the storage account's events come out. Who takes them is subscription.bicep, after the app is deployed.

param name string
param location string
param tags object
param storageId string

resource topic 'Microsoft.EventGrid/systemTopics@2025-02-15' = {
  name: name
  location: location
  tags: tags
  properties: {
    source: storageId
    topicType: 'Microsoft.Storage.StorageAccounts'
  }
}

output name string = topic.name
