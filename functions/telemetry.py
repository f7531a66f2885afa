"""Metrics, traces and logs of this function app, sent to Application Insights."""

import logging
import os
from functools import cache

_CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
# By default the exporters tell Microsoft how they are doing, and ask there for settings.
_SAY_NOTHING_ELSE = ("STATSBEAT_DISABLED_ALL", "SDKSTATS_DISABLED", "CONTROLPLANE_DISABLED")
# These log a line per request, the exporters' own among them.
_CHATTY = ("azure.core", "azure.identity", "azure.monitor")


@cache
def send_telemetry() -> None:
    """Set up sending, once per process; without a connection string nothing is sent, or loaded.

    The exporters sign in by themselves as APPLICATIONINSIGHTS_AUTHENTICATION_STRING says. What cannot be sent is
    dropped: an instance's disk does not outlive it.
    """
    if not os.environ.get(_CONNECTION):
        return
    for name in _SAY_NOTHING_ELSE:
        os.environ.setdefault(f"APPLICATIONINSIGHTS_{name}", "true")
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    from azure.monitor.opentelemetry import exporter  # noqa: PLC0415 - half a second, for those who send

    from shared.telemetry.export import send  # noqa: PLC0415 - as above

    try:
        send(
            exporter.AzureMonitorMetricExporter(disable_offline_storage=True),
            exporter.AzureMonitorTraceExporter(disable_offline_storage=True),
            exporter.AzureMonitorLogExporter(disable_offline_storage=True),
        )
    except ValueError as error:
        logging.getLogger(__name__).warning("%s cannot be used, so nothing is sent: %s", _CONNECTION, error)
