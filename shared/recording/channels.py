"""The ways to reach people: channels, the notices that go to them, and the sender that speaks Apprise.

A channel's URL holds secrets (tokens, passwords), so nothing here shows more of it than its scheme: no error, no log,
no repr.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from shared.documents import Audience
from shared.errors import NotificationError, SettingsError
from shared.storage.ports import Json

ORCASITE_SCHEMES = ("orcasite", "orcasite+http")
_SECRET_PARAMETERS = frozenset({"pass", "password", "token", "key", "apikey"})
_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")  # it becomes part of document ids
_sending = ContextVar("haro_sending", default=False)


@dataclass(frozen=True)
class Channel:
    """Where an audience is reached: an Apprise URL, or `orcasite://:KEY@HOST`. The URL is a secret, never shown."""

    id: str
    audience: Audience
    url: str = field(repr=False)

    @classmethod
    def of(cls, url: str, audience: Audience, *, name: str = "") -> Channel:
        """A channel named `name`, or after its audience and a digest of where it leads.

        The digest leaves passwords out: a changed one must not make another channel, nor the id help to guess it.
        Raises SettingsError for a name that cannot be part of a document's id, a URL that is none, or an Orcasite key
        that fits into no HTTP header.
        """
        if name and not _NAME.fullmatch(name):
            raise SettingsError(f"channel name {name!r} must be 1 to 60 letters, digits, '.', '_' or '-'")
        try:
            digest = _digest(url)
        except ValueError:
            # Not chained: the original may quote the URL.
            raise SettingsError(f"the URL of a channel for {audience} cannot be read") from None
        channel = cls(name or f"{audience}-{digest}", audience, url)
        if channel.scheme in ORCASITE_SCHEMES and not unquote(urlsplit(url).password or "").isascii():
            raise SettingsError(f"{channel.label} has a key with characters that no key has: copy it again")
        return channel

    @property
    def scheme(self) -> str:
        """What stands before `://`; without that mark nothing of the URL is safe to show."""
        scheme, mark, _ = self.url.partition("://")
        return scheme.lower() if mark else "unreadable"

    @property
    def label(self) -> str:
        """What logs and errors may show: the scheme and the id."""
        return f"{self.scheme} channel {self.id}"


@dataclass(frozen=True)
class Notice:
    """A message to one channel. The same `idempotency_key` means the same message, sent again.

    `detections` are the documents it tells of, for channels that take data rather than text.
    """

    title: str
    body: str
    idempotency_key: str
    detections: tuple[Json, ...] = ()


class Sender(Protocol):
    """Something that delivers a notice to a channel."""

    def check(self, channel: Channel) -> None:
        """Raise NotificationError when nothing could ever be sent to the channel's URL. Sends nothing."""
        ...

    def send(self, channel: Channel, notice: Notice) -> None:
        """Deliver the notice.

        Raises NotificationError, showing nothing of the channel's URL; CannotBeTold when another try would not help.
        """
        ...


class SenderByScheme:
    """Sends each notice with the sender of its channel's URL scheme, or else with the default one."""

    def __init__(self, default: Sender, senders: Mapping[str, Sender]) -> None:
        self._default = default
        self._senders = dict(senders)

    def check(self, channel: Channel) -> None:
        """See `Sender.check`."""
        self._sender(channel).check(channel)

    def send(self, channel: Channel, notice: Notice) -> None:
        """See `Sender.send`."""
        self._sender(channel).send(channel, notice)

    def _sender(self, channel: Channel) -> Sender:
        return self._senders.get(channel.scheme, self._default)


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
    return f"the server answered {codes[-1]}" if codes else "no answer, or not one it understood"


def _digest(url: str) -> str:
    parts = urlsplit(url)
    credentials, _, host = parts.netloc.rpartition("@")
    public = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in _SECRET_PARAMETERS]
    where = (parts.scheme, f"{credentials.partition(':')[0]}@{host}", parts.path, urlencode(public), "")
    return hashlib.sha256(urlunsplit(where).encode()).hexdigest()[:12]
