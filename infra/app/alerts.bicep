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
    description: 'Its newest audio was never older than 10 minutes, and for 15 minutes no sound of it was scored: Haro fails, or its segments cannot be fetched or read.'
    severity: 1
    window: 'PT15M'
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
    dimension: 'hydrophone'
  }
  {
    name: 'haro-silent'
    title: 'No hydrophone is heard'
    description: 'For 15 minutes no hydrophone had audio younger than 10 minutes: Haro is down or cannot reach its stores, or all streams are silent.'
    severity: 1
    window: 'PT15M'
    // Young audio alone: an app whose polls all fail goes on reporting how old the last audio it found has become.
    query: '''
      AppMetrics
        | where TimeGenerated > ago(15m) and Name == "haro.hydrophone.newest"
        | summarize young = countif(Sum < 600) // a row even where nothing at all was reported
        | where young == 0
    '''
    dimension: ''
  }
  {
    name: 'haro-late'
    title: 'Haro is late'
    description: 'The oldest batch on the queue has waited for more than 5 minutes, or live sound was recorded more than 15 minutes after its end, as when no event calls the function record.'
    severity: 2
    window: 'PT15M'
    query: '''
      AppMetrics
        | where TimeGenerated > ago(15m) and Name in ("haro.queue.age", "haro.audio.to_recorded")
        | where Sum / ItemCount > iff(Name == "haro.queue.age", 300, 900)
    '''
    dimension: ''
  }
  {
    name: 'haro-model'
    title: 'A model does not load'
    description: 'Either the model promoted is refused and the last good one goes on, or nothing can be scored at all: /api/health/ready and the log say which.'
    severity: 0
    window: 'PT15M'
    query: '''
      union
        (AppMetrics | where TimeGenerated > ago(15m) and Name == "haro.model.load_failures" and Sum > 0 | project TimeGenerated),
        (AppExceptions | where TimeGenerated > ago(15m) and ExceptionType endswith "ModelError" | project TimeGenerated)
    '''
    dimension: ''
  }
  {
    name: 'haro-failing'
    title: 'Polls fail again and again'
    description: 'By a fault of its own Haro could not poll a hydrophone five times in 15 minutes.'
    severity: 1
    window: 'PT15M'
    query: '''
      AppMetrics
        | where TimeGenerated > ago(15m) and Name == "haro.polls.failed"
        | summarize failures = sum(Sum) by hydrophone = tostring(Properties.hydrophone)
        | where failures > 4
    '''
    dimension: 'hydrophone'
  }
  {
    name: 'haro-untold'
    title: 'People are not told'
    description: 'Messages to moderators, subscribers or Orcasite failed four times in 6 hours, or one was given up after a day of tries.'
    severity: 1
    window: 'PT6H' // a message that keeps failing is tried once an hour in the end: a shorter window would call that mended
    query: '''
      AppMetrics
        | where TimeGenerated > ago(6h) and Name == "haro.notifications"
        | summarize failed = sumif(Sum, Properties.outcome == "failed"), given_up = sumif(Sum, Properties.outcome == "given_up") by audience = tostring(Properties.audience)
        | where failed > 3 or given_up > 0
    '''
    dimension: 'audience'
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
      windowSize: rule.window
      autoMitigate: true
      skipQueryValidation: true // the tables are there only once the app has written to them
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
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
