"""The sender that speaks Apprise."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from shared.errors import NotificationError
from shared.recording.channels import Channel, Notice, answered

_sending = ContextVar("haro_sending", default=False)


class AppriseSender:
    """Sends through Apprise: e-mail, webhooks (`json://`, `form://`, `xml://`) and its many services.

    Channels that allow headers carry `Idempotency-Key`, the same on every repeat. E-mail has it beside its Message-ID,
    which Apprise makes anew for every attempt. A URL that names several recipients is one channel: when one of them
    refuses, the repeat goes to all, so give each person a URL of their own.
    """

    def check(self, channel: Channel) -> None:
        """See `Sender.check`: whether Apprise makes sense of the URL."""
        self._service(channel)

    def send(self, channel: Channel, notice: Notice) -> None:
        """See `Sender.send`."""
        service = self._service(channel)
        if "headers" in service.template_kwargs:
            service.headers["Idempotency-Key"] = notice.idempotency_key
        apprise, asset = _apprise()
        courier = apprise.Apprise(services=service, asset=asset)
        try:
            with _unheard():
                result = courier.notify(
                    body=notice.body, title=notice.title, body_format=apprise.NotifyFormat.TEXT, log_level=logging.DEBUG
                )
        except apprise.exception.AppriseException as error:
            # Not chained: the original may name the address.
            raise NotificationError(f"{channel.label}: Apprise refused the message: {type(error).__name__}") from None
        if not result:
            raise NotificationError(
                f"{channel.label} did not take the message: {_reason(e.message for e in result.logs())}"
            )

    @staticmethod
    def _service(channel: Channel) -> Any:
        apprise, asset = _apprise()
        with _unheard():
            service = apprise.Apprise.instantiate(channel.url, asset=asset)
        if service is None:
            raise NotificationError(
                f"{channel.label} has a URL that Apprise does not understand: see its list of services"
            )
        service.redirects = False  # see `answered`; also where the URL asks for it
        return service


def _apprise() -> tuple[Any, Any]:
    """Apprise and the way Haro uses it, imported on first use: with its plugins it takes more than a second.

    Its log names addresses, recipients and at the lowest level whole URLs, so it stays with the result it belongs to.
    """
    import apprise  # noqa: PLC0415 - see above

    logging.getLogger("apprise").propagate = False
    transport = logging.getLogger("urllib3.connectionpool")
    if _is_heard not in transport.filters:
        transport.addFilter(_is_heard)
    return apprise, apprise.AppriseAsset(app_id="Haro", app_desc="Haro", async_mode=False)


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep the HTTP library from logging request paths, where webhooks carry their secret, while a notice is sent."""
    token = _sending.set(True)
    try:
        yield
    finally:
        _sending.reset(token)


def _is_heard(_record: logging.LogRecord) -> bool:
    return not _sending.get()


def _reason(log: Iterable[str]) -> str:
    """The server's status out of Apprise's log, and nothing else of it: it may hold parts of the URL."""
    found = (re.search(r"\berror=(\d{3})\b|Exception: \((\d{3}),|refused: (\d{3})\b", line) for line in log)
    codes = [code for match in found if match for code in match.groups() if code]
    return answered(int(codes[-1])) if codes else "no answer, or not one it understood"
