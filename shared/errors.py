"""Every error Haro raises on purpose.

HaroError
├── SettingsError          settings are wrong; all of them are named at once
├── HydrophoneError        a hydrophone is unknown, or a list of them is wrong
├── StreamError            a stream could not be read
│   ├── StreamUnreachable      no answer, or a passing server fault: worth another try
│   ├── StreamNotFound         the server says it is not there (403, 404, 410)
│   └── PlaylistError          what came is not a playlist
├── AudioError             bytes that are not audio we can use
│   └── AudioTooLarge          more bytes or seconds than the limits allow
├── ModelError             a model file that must not be used
├── MessageError           a queue message nobody can understand: dead-letter it
├── LeftToHost             a message to be set aside by the function host: let the function fail with it
├── StorageError           storage could not do what was asked
│   ├── BlobNotFound           no blob of that name
│   ├── ConflictError          somebody else wrote first: read again, then decide
│   ├── UnknownMark            no mark of this container's changes: read them from the start
│   ├── StorageFullError       no room left for this
│   └── StationBusy            another Haro works on this data folder
└── NotificationError      a channel did not take the message: worth another try
    └── CannotBeTold           a channel can never take this: it is not tried again

Each message says what was wrong, with which input, and what to do. Where an error stops one item (a segment, a message,
a file, a hydrophone), the caller catches `HaroError` around that item and goes on with the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class HaroError(Exception):
    """Anything Haro raises on purpose."""


class SettingsError(HaroError):
    """One or more settings are wrong; the message names every one of them."""


class HydrophoneError(HaroError):
    """A hydrophone is not known, or a list of hydrophones cannot be read."""


class StreamError(HaroError):
    """A stream could not be read."""


class StreamUnreachable(StreamError):  # noqa: N818 - a state of the stream, named as operators say it
    """The server did not answer, or answered with a passing fault (5xx, 429): try again later."""


class StreamNotFound(StreamError):  # noqa: N818 - as above
    """The server answered that the object is not there (403, 404 or 410)."""


class PlaylistError(StreamError):
    """The server sent something that is not an HLS media playlist, or a `latest.txt` that is no number."""


class AudioError(HaroError):
    """The bytes hold no audio that can be used."""


class AudioTooLarge(AudioError):  # noqa: N818 - reads as the sentence it is
    """The audio is larger, in bytes or in decoded seconds, than the limits allow."""


class ModelError(HaroError):
    """The model file must not be used; the message lists every reason found."""


class MessageError(HaroError):
    """A queue message cannot be understood; trying again would not help."""


class LeftToHost(HaroError):  # noqa: N818 - says what becomes of the message
    """The function host must set this message aside, which it does when the function fails."""


class StorageError(HaroError):
    """Storage could not do what was asked."""


class BlobNotFound(StorageError):  # noqa: N818 - reads as the sentence it is
    """There is no blob of that name."""


class ConflictError(StorageError):
    """The document changed since it was read: read it again and decide anew."""


class UnknownMark(StorageError):  # noqa: N818 - reads as the sentence it is
    """The container never gave this mark of its changes: start from the beginning."""


class StorageFullError(StorageError):
    """There is no room left for this; listening goes on without it."""


class StationBusy(StorageError):  # noqa: N818 - a state of the station, named as operators say it
    """Another Haro is at work on this data folder."""


class NotificationError(HaroError):
    """A channel did not accept a notification; it stays in the outbox and is tried again."""


class CannotBeTold(NotificationError):  # noqa: N818 - reads as the sentence it is
    """A channel can never take this notification: it is suppressed for this reason."""


def wrong_fields(error: ValidationError) -> list[tuple[str, str]]:
    """What pydantic found wrong: each field, empty where no single one is to blame, and the reason."""
    return [(".".join(map(str, item["loc"])), item["msg"].removeprefix("Value error, ")) for item in error.errors()]
