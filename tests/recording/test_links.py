"""People get addresses they can open."""

from __future__ import annotations

import pytest

from shared.errors import StorageError
from shared.recording.links import with_links

PRIVATE = {
    "id": "a",
    "audioUri": "https://private/1.flac",
    "imageUri": "https://private/1.png",
    "haro": {"audio_blob": "detections/1.flac", "image_blob": "detections/1.png"},
}


def test_a_link_stands_in_place_of_each_stored_address() -> None:
    """Audio and picture are linked by their blobs' names, and nothing else of the detection changes."""
    detection = dict(PRIVATE)

    (linked,) = with_links([detection], "https://open/{}?sig".format)

    assert linked == detection | {
        "audioUri": "https://open/detections/1.flac?sig",
        "imageUri": "https://open/detections/1.png?sig",
    }
    assert detection == PRIVATE, "the stored document is not touched"


def test_what_haro_did_not_write_stays() -> None:
    """A detection of OrcaHello's own, or one whose sound was not kept, is told as it stands."""
    theirs = {"id": "a", "audioUri": "https://orcahello/1.wav"}
    not_kept = {"id": "b", "audioUri": "", "haro": {"audio_blob": None, "image_blob": None}}

    assert with_links([theirs, not_kept], "https://open/{}".format) == [theirs, not_kept]


def test_a_signer_that_fails_is_asked_once_and_addresses_stay(caplog: pytest.LogCaptureFixture) -> None:
    """From the first link that cannot be signed on, the stored addresses stay, with one warning for all of them."""
    asked: list[str] = []

    def link(blob: str) -> str:
        asked.append(blob)
        if len(asked) > 2:
            raise StorageError("no key to sign with")
        return f"https://open/{blob}"

    first, second, third = with_links([PRIVATE] * 3, link)

    assert first["audioUri"] == "https://open/detections/1.flac"
    assert (second, third) == (PRIVATE, PRIVATE)
    assert len(asked) == 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "no key to sign with" in caplog.text
