"""What is kept of a clip beside its result: its audio and, for a detection, its picture."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.documents import SegmentBatch, clip_blob_name
from shared.errors import StorageFullError
from shared.scoring.audio import Run
from shared.scoring.encode import encode_flac, encode_wav
from shared.storage.ports import BlobStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeepPolicy:
    """Which clips' audio is stored, and in which format."""

    clips: Literal["all", "detections"] = "all"
    clip_format: Literal["flac", "wav"] = "flac"


def keep_audio(
    batch: SegmentBatch, runs: Sequence[Run], *, detected: bool, policy: KeepPolicy, blobs: BlobStore
) -> tuple[str | None, str | None]:
    """Write the clip's audio file, as long as the clip by its segments' lengths.

    Returns:
        The blob's name, or None and why there is no blob.
    """
    if not runs:
        return None, "there is no sound"
    if not detected and policy.clips == "detections":
        return None, "only detections are kept"
    encode = encode_flac if policy.clip_format == "flac" else encode_wav
    audio = encode(runs, (batch.end_utc - batch.start_utc).total_seconds())
    return _put(clip_blob_name(batch, detected=detected, suffix=policy.clip_format), audio, blobs)


def keep_picture(batch: SegmentBatch, png: bytes, blobs: BlobStore) -> tuple[str | None, str | None]:
    """Write the picture of a detection; returns as `keep_audio`."""
    return _put(clip_blob_name(batch, detected=True, suffix="png"), png, blobs)


def _put(name: str, data: bytes, blobs: BlobStore) -> tuple[str | None, str | None]:
    """Write a file. A full store costs the file and is said aloud; it never costs the result."""
    try:
        blobs.put(name, data)
    except StorageFullError as error:
        _log.error("%s is not kept: %s", name, error)
        return None, str(error)
    return name, None
