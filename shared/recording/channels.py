"""The ways to reach people: channels, the notices that go to them, and what a sender is.

A channel's URL holds secrets (tokens, passwords), so nothing here shows more of it than its scheme: no error, no log,
no repr.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from shared.documents import Audience
from shared.errors import SettingsError
from shared.storage.ports import Json

ORCASITE_SCHEMES = ("orcasite", "orcasite+http")
_SECRET_PARAMETERS = frozenset({"pass", "password", "token", "key", "apikey"})
_NAME = re.compile(r"[A-Za-z0-9._-]{1,60}")  # it becomes part of document ids


@dataclass(frozen=True)
class Channel:
    """Where an audience is reached: an Apprise URL, or `orcasite://:KEY@HOST`. The URL is a secret, never shown."""

    id: str
    audience: Audience
    url: str = field(repr=False)

    @classmethod
    def of(cls, url: str, audience: Audience, *, name: str = "") -> Channel:
        """A channel named `name`, or after its audience and a digest of where it leads.

        The digest leaves passwords and tokens out: a new one for the same place must not make another channel, to which
        nobody would deliver what still waits for the old one, nor may the id help to guess it. So URLs that differ in
        nothing else share an id; `shared_ids` finds them, and any other parameter tells them apart: no service minds
        one that it does not know.

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


def shared_ids(channels: Iterable[Channel]) -> list[str]:
    """A complaint for each id that different channels share, with what to do: one of them would be told for all."""
    different = {(channel.id, channel.audience, channel.url): channel.label for channel in channels}
    return [
        f"{number} URLs for {label} differ in a secret alone, so it would be told once: leave the others out, or tell"
        " them apart by a word of your own at the end, as ?haro=night, or &haro=night after another"
        for label, number in Counter(different.values()).items()
        if number > 1
    ]


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


def answered(status: int) -> str:
    """What an HTTP server that did not take a message answered, and where that is known, what to do.

    A redirect is never followed: the POST would become a GET, and the page that answers that would count as success.
    """
    moved = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    to_do = ", naming another address: put the right one into the channel's URL" if moved else ""
    return f"the server answered {status}{to_do}"


def _digest(url: str) -> str:
    parts = urlsplit(url.replace("#", "%23"))  # Apprise's URLs have no fragment: rooms of a chat begin with it
    credentials, _, host = parts.netloc.rpartition("@")
    public = [(name, value) for name, value in parse_qsl(parts.query) if name.lower() not in _SECRET_PARAMETERS]
    where = (parts.scheme, f"{credentials.partition(':')[0]}@{host}", parts.path, urlencode(public), "")
    return hashlib.sha256(urlunsplit(where).encode()).hexdigest()[:12]
