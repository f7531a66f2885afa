// When something is wrong, somebody is told. Without an address the alerts still show in the portal.
// The metrics are Haro's own (docs/how-it-works.md) and arrive in the table AppMetrics:
// gauges and counters with their value in Sum alone, histograms with Sum, ItemCount, Min and Max.

param groupName string
param location string
param tags object
param workspaceId string
param serviceBusId string
param queueName string

@description('Who is told; empty: nobody.')
param email string

var rules = [
  {
    name: 'haro-deaf'
    title: 'A hydrophone that publishes is not scored'
    description: 'Its newest audio was never older than 10 minutes, and for 15 minutes nothing of it was scored.'
    severity: 1
    query: '''
      let scored = AppMetrics
        | where TimeGenerated > ago(15m) and Name == "haro.audio.to_scored" // live clips alone: a backfill hides nothing
        | summarize clips = sum(ItemCount) by hydrophone = tostring(Properties.hydrophone)
        | where clips > 0;
      AppMetrics
        | where TimeGenerated > ago(15m) and Name == "haro.hydrophone.newest"
        | summarize newest_s = max(Sum) by hydrophone = tostring(Properties.hydrophone)
        | where newest_s < 600
        | join kind=leftanti scored on hydrophone
    '''
    operator: 'GreaterThan'
    threshold: 0
    dimension: 'hydrophone'
  }
  {
    name: 'haro-silent'
    title: 'Haro says nothing at all'
    description: 'For 15 minutes it did not even report how old the newest audio is: the app is down or cannot start.'
    severity: 1
    query: '''
      AppMetrics
        | where TimeGenerated > ago(15m) and Name == "haro.hydrophone.newest"
    '''
    operator: 'LessThan'
    threshold: 1
    dimension: ''
  }
  {
    name: 'haro-late'
    title: 'Batches wait too long'
    description: 'The oldest batch on the queue has waited for more than 5 minutes.'
    severity: 2
    query: '''
      AppMetrics
        | where TimeGenerated > ago(15m) and Name == "haro.queue.age"
        | where Sum > 300
    '''
    operator: 'GreaterThan'
    threshold: 0
    dimension: ''
  }
  {
    name: 'haro-model'
    title: 'The model does not load'
    description: 'Nothing can be scored until it does.'
    severity: 0
    query: '''
      union
        (AppMetrics | where TimeGenerated > ago(15m) and Name == "haro.model.load_failures" and Sum > 0 | project TimeGenerated),
        (AppExceptions | where TimeGenerated > ago(15m) and ExceptionType endswith "ModelError" | project TimeGenerated)
    '''
    operator: 'GreaterThan'
    threshold: 0
    dimension: ''
  }
]

resource group 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: groupName
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'haro'
    enabled: true
    emailReceivers: empty(email) ? [] : [{ name: 'operator', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in rules: {
    name: rule.name
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      description: rule.description
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT5M'
      windowSize: 'PT15M'
      autoMitigate: true
      skipQueryValidation: true // the tables are there only once the app has written to them
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: rule.operator
            threshold: rule.threshold
            dimensions: empty(rule.dimension) ? [] : [{ name: rule.dimension, operator: 'Include', values: ['*'] }]
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: [group.id] }
    }
  }
]

resource deadLetters 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'haro-dead-letters'
  location: 'global'
  tags: tags
  properties: {
    description: 'Batches were set aside: `haro dead-letters` says why.'
    severity: 2
    enabled: true
    scopes: [serviceBusId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'dead-letters'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'DeadletteredMessages'
          timeAggregation: 'Maximum'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [{ name: 'EntityName', operator: 'Include', values: [queueName] }]
        }
      ]
    }
    actions: [{ actionGroupId: group.id }]
  }
}
