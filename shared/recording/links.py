"""Addresses of clips and pictures that people can open, in place of those that only Haro may."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from shared.errors import StorageError
from shared.storage.ports import Json

Link = Callable[[str], str]
"""From a blob's name to an address that opens it. Raises StorageError."""

_FIELDS = {"audio_blob": "audioUri", "image_blob": "imageUri"}
_log = logging.getLogger(__name__)


def with_links(detections: Iterable[Json], link: Link) -> list[Json]:
    """The detections with such addresses; what Haro did not write, or did not keep, stays as it is.

    From the first link that cannot be made on, stored addresses stay: people are told all the same, and soon.
    """
    linked = list(detections)
    try:
        for number, detection in enumerate(linked):
            linked[number] = _linked(detection, link)
    except StorageError as error:
        _log.warning("people are told without links they can open: %s", error)
    return linked


def _linked(detection: Json, link: Link) -> Json:
    own = detection.get("haro") or {}
    return detection | {field: link(own[blob]) for blob, field in _FIELDS.items() if own.get(blob)}
