"""Which clips are kept, and what is done where there is no room."""

from __future__ import annotations

import logging
from typing import cast

import pytest

from shared.documents import result_blob_name
from shared.errors import StorageFullError
from shared.scoring.score import KeepPolicy
from tests.memory_blobs import MemoryBlobs
from tests.scoring.batches import CALLING, score, sound
from tests.scoring.streams import stream


def test_a_full_disk_costs_the_files_not_the_result(caplog: pytest.LogCaptureFixture) -> None:
    """Without room for audio and picture, that is logged as an error, said in the result, and recording goes on."""
    blobs = MemoryBlobs(full=("detections/",))

    with caplog.at_level(logging.ERROR):
        result = score(sound(), blobs=blobs, detector=CALLING).result

    assert result.detected
    assert (result.audio_blob, result.image_blob) == (None, None)
    assert "no room left" in (result.not_kept_because or "")
    assert list(blobs.blobs) == [result_blob_name(result.batch_id)]
    assert sum("no room left" in record.message for record in caplog.records) == 2


def test_a_result_that_cannot_be_written_is_an_error() -> None:
    """The result is what recording waits for: no room for it puts the message back."""
    with pytest.raises(StorageFullError):
        score(sound(), blobs=MemoryBlobs(full=("results/",)))


def test_only_detections_are_kept_when_so_set() -> None:
    """`keep_clips=detections` stores no audio of other clips, and the format is the one that was set."""
    policy = KeepPolicy(clips="detections", clip_format="wav")
    quiet, calling = MemoryBlobs(), MemoryBlobs()

    quiet_result = score(sound(), blobs=quiet, keep=policy).result
    calling_result = score(sound(), blobs=calling, keep=policy, detector=CALLING).result

    assert quiet_result.audio_blob is None
    assert quiet_result.not_kept_because == "only detections are kept"
    assert (calling_result.audio_blob or "").endswith(".wav")
    assert calling.blobs[cast("str", calling_result.audio_blob)].startswith(b"RIFF")


def test_quiet_and_humming_clips_are_scored_and_kept() -> None:
    """A silent clip says so in its health, and is scored and stored like any other."""
    result = score(stream(2, level=1e-5)).result

    assert result.health.state == "silent"
    assert result.windows
    assert result.audio_blob is not None
