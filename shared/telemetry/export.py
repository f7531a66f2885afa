"""Giving what the process says of itself to others: the OpenTelemetry SDK, set up once.

Only those who export import this module: the SDK takes a tenth of a second that others need not spend.
"""

from __future__ import annotations

import logging

from opentelemetry import metrics, trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, LogRecordExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from shared import __version__
from shared.telemetry.logs import LogSender

OWN_LOGGERS = ("shared", "functions")
"""The loggers whose records are sent."""


def show(reader: MetricReader) -> None:
    """Let the reader ask for metrics. Once per process: OpenTelemetry keeps the first provider it is given."""
    metrics.set_meter_provider(MeterProvider([reader], resource=_resource()))


def send(metric_exporter: MetricExporter, span_exporter: SpanExporter, log_exporter: LogRecordExporter) -> None:
    """Send metrics every minute, spans and logs every few seconds, and all that is left when the process ends.

    Once per process, as `show`. Logs that are sent reach the root logger no more: a function host listens there and
    would send each a second time.
    """
    show(PeriodicExportingMetricReader(metric_exporter))
    tracers = TracerProvider(resource=_resource())
    tracers.add_span_processor(BatchSpanProcessor(span_exporter))
    trace.set_tracer_provider(tracers)
    loggers = LoggerProvider(resource=_resource())
    loggers.add_log_record_processor(BatchLogRecordProcessor(log_exporter))
    sender = LogSender(loggers)
    for name in OWN_LOGGERS:
        logging.getLogger(name).addHandler(sender)
        logging.getLogger(name).propagate = False


def _resource() -> Resource:
    return Resource.create({"service.name": "haro", "service.version": __version__})
