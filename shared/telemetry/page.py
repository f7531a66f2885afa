"""The metrics of this process as a text page, as Prometheus reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from prometheus_client import CollectorRegistry, Metric, start_http_server
from prometheus_client.registry import Collector

from shared.errors import SettingsError
from shared.telemetry.export import show


@contextmanager
def metrics_page(host: str, port: int) -> Iterator[None]:
    """Serve `http://HOST:PORT/metrics` meanwhile. Raises SettingsError when the address cannot be had."""
    try:
        server, thread = start_http_server(port, host, _registry())
    except OSError as error:
        raise SettingsError(
            f"no metrics page at {host}:{port} ({error}): set HARO_METRICS_HOST and HARO_METRICS_PORT to a free address"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@cache
def _registry() -> CollectorRegistry:
    """What the page shows: set up once per process."""
    fresh, shown = CollectorRegistry(), CollectorRegistry()
    show(PrometheusMetricReader(scope_info_enabled=False, registry=fresh))
    shown.register(LastingGauges(fresh))
    return shown


class LastingGauges(Collector):
    """All metrics of a registry, and of each gauge the last value it had.

    The SDK gives what a gauge was set to only once: the second reader of the page would find nothing.
    """

    def __init__(self, fresh: CollectorRegistry) -> None:
        self._fresh = fresh
        self._gauges: dict[str, Metric] = {}
        self._reading = threading.Lock()

    def collect(self) -> list[Metric]:
        """The metrics as they stand."""
        with self._reading:
            others = []
            for metric in self._fresh.collect():
                if metric.type != "gauge":
                    others.append(metric)
                    continue
                before = self._gauges.get(metric.name)
                samples = [*before.samples, *metric.samples] if before else metric.samples
                metric.samples = list({tuple(sorted(one.labels.items())): one for one in samples}.values())
                self._gauges[metric.name] = metric
            return [*others, *self._gauges.values()]
