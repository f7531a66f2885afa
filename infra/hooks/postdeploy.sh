#!/bin/sh
# After `azd deploy`: let each new result call the function `record`. Safe to run again.
# The app must be up first: Event Grid asks it for consent, with a key that its host makes once it knows the function.
set -eu

: "${AZURE_SUBSCRIPTION_ID:?run by azd, or after: set -a; . .azure/<environment>/.env; set +a}"
: "${AZURE_RESOURCE_GROUP:?as above}" "${FUNCTION_APP_NAME:?as above}" "${FUNCTION_APP_URL:?as above}"
: "${EVENT_TOPIC_NAME:?as above}"

command -v az >/dev/null || { echo "install the Azure CLI and run 'az login'" >&2; exit 1; }
command -v curl >/dev/null || { echo "install curl" >&2; exit 1; }
az account show --subscription "$AZURE_SUBSCRIPTION_ID" --output none || {
  echo "the Azure CLI does not see subscription $AZURE_SUBSCRIPTION_ID: 'az login' ('azd auth login' is another login)," \
    "then 'azd hooks run postdeploy'" >&2
  exit 1
}

az_here() {
  az "$@" --subscription "$AZURE_SUBSCRIPTION_ID" --resource-group "$AZURE_RESOURCE_GROUP"
}

is_ready() {
  curl --silent --output /dev/null --max-time 60 "$FUNCTION_APP_URL/api/health/live" || true # wakes the host
  az_here functionapp function show --name "$FUNCTION_APP_NAME" --function-name record --output none 2>/dev/null || return 1
  # Only the length of the key is asked for: the key itself is never here.
  length=$(az_here functionapp keys list --name "$FUNCTION_APP_NAME" --output tsv \
    --query "length(not_null(systemKeys.blobs_extension, ''))" 2>/dev/null) || return 1
  [ "${length:-0}" -gt 0 ]
}

subscribe() {
  az_here deployment group create --name result-events --template-file infra/app/subscription.bicep --output none \
    --parameters functionAppName="$FUNCTION_APP_NAME" topicName="$EVENT_TOPIC_NAME"
}

attempt() { # attempt WHAT HOW_OFTEN
  tries=1
  until "$1"; do
    [ "$tries" -lt "$2" ] || return 1
    tries=$((tries + 1))
    sleep "${HOOK_WAIT_S:-10}"
  done
}

echo "waiting for the function 'record' of $FUNCTION_APP_NAME"
attempt is_ready 30 || {
  echo "no function 'record', or no key for it, after 30 tries: look at 'az functionapp function list' and the log," \
    "then 'azd hooks run postdeploy'" >&2
  exit 1
}
attempt subscribe 3 || { echo "Event Grid could not subscribe: 'azd hooks run postdeploy' tries again" >&2; exit 1; }
echo "new results now call 'record'"
