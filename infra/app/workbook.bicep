// The four questions of an operator on one page: is anyone deaf, how late are we, what changed in scores, what died.

param location string
param tags object
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(workspaceId, 'haro')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Haro'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: replace(loadTextContent('../workbook.json'), '{workspaceId}', workspaceId)
  }
}

output id string = workbook.id
