"""Log records as OpenTelemetry has them, in the trace they were written in."""

from __future__ import annotations

import logging

from opentelemetry._logs import LoggerProvider, SeverityNumber
from opentelemetry.context import get_current

from shared.telemetry.traces import told_of

_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}


class LogSender(logging.Handler):
    """Gives each record to a provider; of an error in it, no more than a span tells."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            error = record.exc_info[1] if record.exc_info else None
            self._provider.get_logger(record.name).emit(
                timestamp=int(record.created * 1e9),
                context=get_current(),
                severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.INFO),
                severity_text=record.levelname,
                body=record.getMessage(),
                attributes=told_of(error) if error else {},
            )
        except Exception:  # noqa: BLE001 - a log line must break nothing, as with every handler
            self.handleError(record)
