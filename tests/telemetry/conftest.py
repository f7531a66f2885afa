"""The SDK with everything kept in memory: set up once, as OpenTelemetry allows, and emptied before each test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.house import fake_detector
from tests.scoring.fakes import FakeDetector
from tests.upkeep.conftest import desk  # noqa: F401 - a fixture, asked for by its name

Series = dict[tuple[tuple[str, Any], ...], Any]


@dataclass
class Readings:
    """What was measured since the test began."""

    reader: InMemoryMetricReader

    def take(self) -> dict[str, Series]:
        """Every metric by name, and its points by their attributes, in order of name; each is given once."""
        data = self.reader.get_metrics_data()
        return {
            metric.name: {tuple(sorted((point.attributes or {}).items())): point for point in metric.data.data_points}
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@cache
def _sdk() -> tuple[InMemorySpanExporter, Readings]:
    exporter = InMemorySpanExporter()
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(tracers)
    delta: dict[type, AggregationTemporality] = {
        Counter: AggregationTemporality.DELTA,
        Histogram: AggregationTemporality.DELTA,
    }
    reader = InMemoryMetricReader(preferred_temporality=delta)
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    return exporter, Readings(reader)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """The spans that end in this test."""
    exporter, _ = _sdk()
    exporter.clear()
    return exporter


@pytest.fixture
def readings() -> Readings:
    """What is measured in this test."""
    _, readings = _sdk()
    readings.take()
    return readings


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch) -> FakeDetector:
    """A model that hears what a test wants."""
    return fake_detector(monkeypatch, 0.9)
