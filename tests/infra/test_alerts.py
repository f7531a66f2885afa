"""Alerts and workbook: they ask for metrics that Haro reports, and every one of them is looked at."""

from __future__ import annotations

import json
import re
from typing import Any, get_args

import pytest
from azure.monitor.opentelemetry.exporter.export.metrics._exporter import _convert_point_to_envelope
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from shared.recording.notify import NoticePolicy
from shared.telemetry.metrics import Outcome
from tests.conftest import ROOT
from tests.infra.bicep import walk
from tests.infra.metrics import METRICS
from tests.infra.project import INFRA, TEMPLATES

ALERTS = TEMPLATES["app/alerts.bicep"]
RULES: list[dict[str, Any]] = ALERTS.variables["rules"]
WORKBOOK: dict[str, Any] = json.loads((INFRA / "workbook.json").read_text(encoding="utf-8"))
WORKBOOK_QUERIES = [content for key, content in walk(WORKBOOK) if key == "query"]
QUERIES = [*(rule["query"] for rule in RULES), *WORKBOOK_QUERIES]
PAGE = (ROOT / "docs" / "observe.md").read_text(encoding="utf-8")
PAGE_QUERIES = re.findall(r"```kusto\n(.*?)```", PAGE, re.DOTALL)
CODE = (ROOT / "shared" / "telemetry" / "metrics.py").read_text(encoding="utf-8")
HISTOGRAMS = set(re.findall(r'create_histogram\(\s*"([\w.]+)"', CODE))
_NAME = re.compile(r'"(haro\.[\w.]+)"')
_TABLES = {"AppMetrics", "AppExceptions"}


def test_the_set_of_alerts_is_complete() -> None:
    """Somebody is told of: a deaf hydrophone, silence, lateness, a model, failing polls and messages, dead letters."""
    names = {rule["name"] for rule in RULES} | {ALERTS.resource("deadLetters").body["name"]}

    spoken_of = {"deaf", "silent", "late", "model", "failing", "untold", "dead-letters"}
    assert names == {f"haro-{name}" for name in spoken_of}


def test_the_table_of_metrics_is_the_codes() -> None:
    """Each instrument in shared/telemetry is in the table, with attributes that its code mentions."""
    assert set(_NAME.findall(CODE)) == set(METRICS)
    assert {"haro.audio.to_scored", "haro.audio.to_recorded", "haro.score"} == HISTOGRAMS
    assert {name for names in METRICS.values() for name in names} <= set(re.findall(r'"(\w+)":', CODE))


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_only_for_what_there_is(query: str) -> None:
    """Tables, metrics and attributes exist; brackets and quotes match."""
    metrics = _NAME.findall(query)
    attributes = set(re.findall(r"Properties\.(\w+)", query))

    assert set(re.findall(r"\bApp[A-Z]\w+", query)) <= _TABLES
    assert set(metrics) <= set(METRICS)
    assert attributes <= set().union(*(METRICS[name] for name in metrics))
    assert query.count('"') % 2 == 0
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing)


@pytest.mark.parametrize("query", [*QUERIES, *PAGE_QUERIES])
def test_least_and_most_are_asked_of_histograms_alone(query: str) -> None:
    """The exporter sends a gauge or a counter as one value, in Sum: its Min and Max would be empty."""
    assert not re.search(r"\b(Min|Max)\b", query) or set(_NAME.findall(query)) <= HISTOGRAMS


def test_what_the_exporter_sends_is_what_the_queries_rest_on() -> None:
    """A gauge and a counter arrive as a value of count 1 without least and most, a histogram with both."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    meter = provider.get_meter("haro")
    meter.create_gauge("gauge").set(7)
    meter.create_counter("counter").add(7)
    meter.create_histogram("histogram").record(7)
    data = reader.get_metrics_data()
    provider.shutdown()
    assert data is not None
    sent = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        (point,) = metric.data.data_points
        envelope: Any = _convert_point_to_envelope(point, metric.name)
        (one,) = envelope.data.base_data.metrics
        sent[metric.name] = (one.value, one.count, one.min, one.max)

    assert sent == {"gauge": (7, 1, None, None), "counter": (7, 1, None, None), "histogram": (7, 1, 7, 7)}


def test_every_metric_is_looked_at() -> None:
    """No metric is reported in vain, and none is missing from both alerts and workbook."""
    assert {name for query in QUERIES for name in _NAME.findall(query)} == set(METRICS)


@pytest.mark.parametrize("rule", RULES, ids=[rule["name"] for rule in RULES])
def test_an_alert_looks_at_its_own_window_and_says_what_is_wrong(rule: dict[str, Any]) -> None:
    """Its query reads no other time than the rule's window; what it is split by is a column of its answer."""
    properties = ALERTS.resource("logAlerts").body["properties"]
    title, description = rule["title"], rule["description"]

    assert properties["windowSize"] == "rule.window"
    ago = f"ago({rule['window'].removeprefix('PT').lower()})"
    assert set(re.findall(r"ago\(\w+\)", rule["query"])) == {ago}
    assert rule["query"].count("AppMetrics") + rule["query"].count("AppExceptions") == rule["query"].count(ago)
    assert title
    assert description.endswith(".")
    assert not rule["dimension"] or re.search(rf"\bby {rule['dimension']} =", rule["query"])


def test_audio_that_only_grows_older_is_no_sign_of_life() -> None:
    """Where no poll gets through, the age of the last audio is still reported: an alert asks for young audio alone.

    What is too old for the one alert to call a hydrophone deaf is what the other calls silence, so that no failure of
    the polls falls between the two.
    """
    deaf, silent = ({rule["name"]: rule for rule in RULES}[f"haro-{name}"] for name in ("deaf", "silent"))

    (published,) = re.findall(r"newest_s < (\d+)", deaf["query"])
    assert re.findall(r"young = countif\(Sum < (\d+)\)", silent["query"]) == [published]
    # Without `by` the sum is one row, also of nothing: an app that reports nothing at all is silent, too.
    assert re.search(r"summarize young = [^|]*\| where young == 0\s*$", re.sub(r"//.*", "", silent["query"]))


def test_a_message_that_keeps_failing_keeps_its_alert() -> None:
    """However far apart the tries become, enough of them fall into the alert's window; a message given up is told."""
    (untold,) = [rule for rule in RULES if rule["name"] == "haro-untold"]
    policy = NoticePolicy()
    hours = int(untold["window"].removeprefix("PT").removesuffix("H"))
    (most,) = re.findall(r"failed > (\d+)", untold["query"])
    first_tries_s = [policy.retry_after(attempts).total_seconds() for attempts in range(1, int(most) + 1)]

    assert sum(first_tries_s) < 15 * 60
    assert (hours * 3600) // (policy.longest_retry_s + 60) > int(most)
    assert "given_up > 0" in untold["query"]
    assert {"failed", "given_up"} <= set(get_args(Outcome))


def test_whoever_waits_for_a_result_or_for_its_record_is_late() -> None:
    """Results that no event told of are recorded half an hour later, while no batch waits: that is lateness, too."""
    (late,) = [rule["query"] for rule in RULES if rule["name"] == "haro-late"]

    assert set(_NAME.findall(late)) == {"haro.queue.age", "haro.audio.to_recorded"}


def test_dead_letters_are_counted_by_service_bus_itself() -> None:
    """The alert does not rest on Haro running: it is the queue's own metric, above nought."""
    (criterion,) = ALERTS.resource("deadLetters").body["properties"]["criteria"]["allOf"]

    assert (criterion["metricName"], criterion["operator"], criterion["threshold"]) == (
        "DeadletteredMessages",
        "GreaterThan",
        0,
    )
    assert criterion["dimensions"] == [{"name": "EntityName", "operator": "Include", "values": ["queueName"]}]


def test_alerts_have_the_properties_that_azure_knows() -> None:
    """Both kinds of rule set what Microsoft's reference lists for them, and nothing else."""
    both = {"description", "severity", "enabled", "scopes", "evaluationFrequency", "windowSize", "autoMitigate"}
    both |= {"criteria", "actions"}

    assert set(ALERTS.resource("deadLetters").body["properties"]) == both
    assert set(ALERTS.resource("logAlerts").body["properties"]) == both | {"displayName", "skipQueryValidation"}


def test_every_alert_reaches_the_operator() -> None:
    """All alerts go to the one group, whose address is optional."""
    actions = ALERTS.resource("logAlerts").body["properties"]["actions"], ALERTS.resource("deadLetters").body

    assert actions[0] == {"actionGroups": ["group.id"]}
    assert actions[1]["properties"]["actions"] == [{"actionGroupId": "group.id"}]
    assert ALERTS.resource("group").body["properties"]["emailReceivers"].startswith("empty(email) ? []")


def test_the_workbook_answers_the_four_questions() -> None:
    """Each question has a heading and at least one query after it, about the time that was chosen above."""
    groups: dict[str, int] = {}
    heading = ""
    for item in WORKBOOK["items"]:
        text = item["content"].get("json", "")
        heading = text.split("\n")[0] if text.startswith("## ") else heading
        if item["type"] == 3:
            groups[heading] = groups.get(heading, 0) + 1
            assert item["content"]["timeContextFromParameter"] == "range"
            assert item["content"]["crossComponentResources"] == ["{workspaceId}"]

    assert list(groups) == [
        "## Is anyone deaf?",
        "## How late are we?",
        "## What changed in scores?",
        "## What died?",
    ]
    assert len({item["name"] for item in WORKBOOK["items"]}) == len(WORKBOOK["items"])
