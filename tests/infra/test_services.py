"""Queue, blobs, documents and events as they are set up, against what the code expects of them."""

from __future__ import annotations

import json
import re
from datetime import timedelta

from shared.documents import BLOB_CONTAINERS, CONTAINERS
from shared.settings import Settings
from shared.storage.azure import indexing
from tests.emulators.account import QUEUE, QUEUE_SETTINGS
from tests.infra.bicep import walk
from tests.infra.project import INFRA, MAIN, TEMPLATES, bindings

STORAGE = TEMPLATES["app/storage.bicep"]
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
CONTAINER_KEYS = {"id", "partitionKey", "indexingPolicy", "defaultTtl", "vectorEmbeddingPolicy"}
"""What a container's definition may hold here, of what Microsoft.DocumentDB 2025-04-15 takes."""
INDEXING_KEYS = {"automatic", "indexingMode", "includedPaths", "excludedPaths", "compositeIndexes", "vectorIndexes"}


def seconds(duration: str) -> float:
    """An ISO 8601 duration of days, hours, minutes and seconds, in seconds."""
    match = _DURATION.fullmatch(duration)
    assert match, duration
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=rest).total_seconds()


def test_the_queue_is_the_one_that_is_read_and_tested_with() -> None:
    """Name, lock, deliveries and duplicate window are those of the trigger, the settings and the emulator."""
    queue = TEMPLATES["app/servicebus.bicep"].resource("queue").body
    properties = queue["properties"]
    (trigger,) = [arguments for name, arguments in bindings() if name == "score"]

    assert queue["name"] == trigger["queue_name"] == QUEUE
    assert seconds(properties["lockDuration"]) == QUEUE_SETTINGS.lock_s == Settings.model_fields["lock_s"].default
    assert properties["maxDeliveryCount"] == QUEUE_SETTINGS.max_deliveries
    assert properties["requiresDuplicateDetection"] is True
    assert seconds(properties["duplicateDetectionHistoryTimeWindow"]) == QUEUE_SETTINGS.duplicate_window_s
    assert properties["deadLetteringOnMessageExpiration"] is True


def test_the_queue_of_microsofts_emulator_is_alike() -> None:
    """What compose.yaml starts differs only in the two times that this emulator holds shorter."""
    config = json.loads((INFRA / "emulators" / "servicebus.json").read_text(encoding="utf-8"))
    (queue,) = config["UserConfig"]["Namespaces"][0]["Queues"]
    ours = TEMPLATES["app/servicebus.bicep"].resource("queue").body
    theirs = {name[0].lower() + name[1:]: content for name, content in queue["Properties"].items()}
    shorter = {"defaultMessageTimeToLive", "duplicateDetectionHistoryTimeWindow"}

    assert queue["Name"] == ours["name"]
    same = set(theirs) & set(ours["properties"]) - shorter
    assert len(same) == 4
    assert {name: theirs[name] for name in same} == {name: ours["properties"][name] for name in same}


def test_the_queue_keeps_within_what_service_bus_allows() -> None:
    """A lock of at most 5 minutes, a duplicate window of 20 s to 7 days, in a tier that has one."""
    template = TEMPLATES["app/servicebus.bicep"]
    properties = template.resource("queue").body["properties"]

    assert seconds(properties["lockDuration"]) <= 300
    assert 20 <= seconds(properties["duplicateDetectionHistoryTimeWindow"]) <= 7 * 86400
    assert template.resource("namespace").body["sku"]["name"] == "Standard"
    assert seconds(properties["defaultMessageTimeToLive"]) >= 14 * 86400


def test_containers_json_is_what_the_code_says() -> None:
    """No container is missing or made otherwise than the code expects it."""
    made = (INFRA / "containers.json").read_text(encoding="utf-8")

    assert made == indexing.as_text(CONTAINERS), "python -m shared.storage.azure.indexing > infra/containers.json"


def test_containers_are_in_words_that_the_template_knows() -> None:
    """Each definition holds only what the resource type takes, since it is handed on as it is."""
    definitions = json.loads((INFRA / "containers.json").read_text(encoding="utf-8"))
    containers = TEMPLATES["app/cosmos.bicep"].resource("databaseContainers")

    assert containers.each == "containers"
    assert containers.body["properties"] == {"resource": "container"}
    for one in definitions:
        assert {"id", "partitionKey", "indexingPolicy"} <= set(one) <= CONTAINER_KEYS, one["id"]
        assert set(one["indexingPolicy"]) <= INDEXING_KEYS, one["id"]
        assert one["partitionKey"] == {"paths": one["partitionKey"]["paths"], "kind": "Hash", "version": 2}


def test_the_account_can_search_vectors_where_a_container_has_some() -> None:
    """The capability is there, beside serverless, which has no throughput to be set anywhere."""
    account = TEMPLATES["app/cosmos.bicep"].resource("account").body["properties"]
    definitions = json.loads((INFRA / "containers.json").read_text(encoding="utf-8"))

    assert any("vectorEmbeddingPolicy" in one for one in definitions)
    assert account["capabilities"] == [{"name": "EnableServerless"}, {"name": "EnableNoSQLVectorSearch"}]
    assert account["backupPolicy"] == {"type": "Continuous", "continuousModeProperties": {"tier": "Continuous7Days"}}
    assert "throughput" not in (INFRA / "app" / "cosmos.bicep").read_text(encoding="utf-8")


def test_orcahellos_container_is_as_its_tools_know_it() -> None:
    """Database `predictions`, container `metadata`, partitioned by /source_guid: moderators' tools read on."""
    definitions = json.loads((INFRA / "containers.json").read_text(encoding="utf-8"))
    (metadata,) = [one for one in definitions if one["id"] == "metadata"]

    assert MAIN.parameters["cosmosDatabase"].default == "predictions"
    assert metadata["partitionKey"]["paths"] == ["/source_guid"]


def test_blob_containers_are_those_of_the_code_and_the_package() -> None:
    """Nothing the code writes to is missing; only detections can be opened to the public."""
    containers = {one["name"]: one["publicAccess"] for one in STORAGE.variables["containers"]}

    assert set(containers) == {*BLOB_CONTAINERS, "packageContainer"}
    assert {name for name, access in containers.items() if access != "None"} == {"detections"}
    assert containers["detections"] == "publicDetections ? 'Blob' : 'None'"
    assert MAIN.parameters["publicDetections"].default is False


def test_clips_go_after_as_many_days_as_the_code_keeps_them() -> None:
    """The rule deletes in container clips alone, after the very number of days that Haro is told."""
    (rule,) = STORAGE.resource("lifecycle").body["properties"]["policy"]["rules"]
    (storage,) = [module for module in MAIN.modules if module.symbol == "storage"]

    assert rule["definition"]["filters"]["prefixMatch"] == ["clips/"]
    assert rule["definition"]["actions"] == {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": "keepDays"}}}
    assert storage.params["keepDays"] == "keepDays"
    assert MAIN.variables["plainSettings"]["HARO_KEEP_DAYS"] == "string(keepDays)"


def test_new_results_call_the_function_that_records_them() -> None:
    """The subscription names a function that exists, as the host does, and the container that this function watches."""
    properties = TEMPLATES["app/subscription.bicep"].resource("results").body["properties"]
    url = properties["destination"]["properties"]["endpointUrl"]
    function = re.findall(r"functionName=Host\.Functions\.(\w+)&", url)[0]
    watched = dict(bindings())[function]["path"].partition("/")[0]

    assert "/runtime/webhooks/blobs?" in url
    assert properties["filter"]["includedEventTypes"] == ["Microsoft.Storage.BlobCreated"]
    assert properties["filter"]["subjectBeginsWith"] == f"/blobServices/default/containers/{watched}/"
    assert "systemKeys.blobs_extension" in TEMPLATES["app/subscription.bicep"].variables["key"]


def test_private_endpoints_cover_what_is_shut() -> None:
    """What loses its public address with the network has a private one for every service that the app uses of it."""
    network = TEMPLATES["app/network.bicep"]
    endpoints = {one["name"] for one in network.variables["endpoints"]}
    one_by_one = network.resource("privateEndpoints").decorators
    (app, _) = network.resource("network").body["properties"]["subnets"]

    assert endpoints == {"blob", "queue", "table", "Sql"}
    assert one_by_one == {"batchSize": (1,)}, "three of them change one storage account, which takes one at a time"
    assert app["properties"]["delegations"][0]["properties"]["serviceName"] == "Microsoft.App/environments"
    shut = {
        name
        for name, template in TEMPLATES.items()
        for one in template.all_resources()
        if "Disabled" in str(dict(walk(one.body)).get("publicNetworkAccess", ""))
    }
    assert shut == {"app/storage.bicep", "app/cosmos.bicep"}
