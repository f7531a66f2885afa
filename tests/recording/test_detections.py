"""The documents that recording writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.errors import MessageError
from shared.recording.detections import (
    Verdict,
    clip_record,
    detection_document,
    detection_start,
    is_confirmed,
    moderated,
)
from shared.storage.ports import Json
from tests.recording.fakes import LAB, NOON, make_result

START = datetime(2026, 3, 20, 19, 0, 7, 999_000, tzinfo=UTC)


def document() -> Json:
    """A detection document as recording makes it."""
    result = make_result(START)
    return detection_document(
        result, LAB, audio_uri="https://a/1.flac", image_uri="https://a/1.png", result_blob="results/1"
    )


def test_the_detection_document_is_orcahellos() -> None:
    """Every field OrcaHello's tools read has its name, form and scale, and nothing of ours stands among them."""
    made = document()
    ours = made.pop("haro")

    assert made == {
        "id": make_result(START).detection_id,
        "modelId": "haro-small-1",
        "audioUri": "https://a/1.flac",
        "imageUri": "https://a/1.png",
        "reviewed": False,
        "timestamp": "2026-03-20T19:00:07Z",
        "whaleFoundConfidence": 80.0,
        "location": {
            "id": "rpi_orcasound_lab",
            "name": "Orcasound Lab",
            "longitude": -123.1735774,
            "latitude": 48.5583362,
        },
        "source_guid": "rpi_orcasound_lab",
        "predictions": [
            {"id": 4, "startTime": 8.0, "duration": 3.0, "confidence": 0.9},
            {"id": 9, "startTime": 18.0, "duration": 3.0, "confidence": 0.7},
        ],
    }
    assert ours["batch_id"] == make_result(START).batch_id
    assert ours["provenance"]["segment_indices"] == list(make_result(START).provenance.segment_indices)
    assert ours["gap_s"] == 10.0


def test_the_start_keeps_its_fraction_of_a_second() -> None:
    """OrcaHello's whole seconds do not cost the exact start; a document OrcaHello wrote itself can be read as well."""
    assert detection_start(document()) == START
    assert detection_start({"timestamp": "2025-08-31T15:13:53.250260Z"}) == datetime(
        2025, 8, 31, 15, 13, 53, 250_260, tzinfo=UTC
    )


def test_an_unknown_hydrophone_goes_by_its_id() -> None:
    """A detection of a hydrophone that left the list is still a detection, without coordinates."""
    made = detection_document(make_result(), None, audio_uri="", image_uri="", result_blob="results/1")

    assert made["location"] == {"id": LAB.id, "name": LAB.id, "longitude": None, "latitude": None}


def test_the_clip_record_sums_up_the_windows() -> None:
    """A clip's record has its end, the highest and mean score, and the detection only if there is one."""
    record = clip_record(make_result(), result_blob="results/1")

    assert record.end_utc == NOON + timedelta(seconds=60)
    assert record.max_score == 0.9
    assert record.mean_score == pytest.approx((27 * 0.1 + 0.9 + 0.7) / 29)
    assert record.detection_id == make_result().detection_id
    assert "/" not in record.id
    quiet = clip_record(
        make_result(detected=False, windows=(), decision_windows=(), positive_windows=()), result_blob="r"
    )
    assert (quiet.max_score, quiet.mean_score, quiet.detection_id) == (0.0, 0.0, None)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("YES", "yes"),
        ("no", "no"),
        ("", "no"),
        (" Don't Know ", "don't know"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t know", "don't know"),
    ],
)
def test_a_verdict_adds_orcahellos_fields(said: str, found: str) -> None:
    """Moderation sets OrcaHello's five fields and `reviewed`, in its forms, and touches nothing else."""
    before = document()

    after = moderated(
        before, Verdict(said, "Ann", " two calls ", ("S01, K pod", "vessel ;S01")), now=NOON + timedelta(microseconds=7)
    )

    added = {key: after.pop(key) for key in ("SRKWFound", "comments", "dateModerated", "moderator", "tags")}
    assert added == {
        "SRKWFound": found,
        "comments": "two calls",
        "dateModerated": "2026-03-20T19:00:00Z",
        "moderator": "Ann",
        "tags": "S01;K pod;vessel",
    }
    assert after == {**before, "reviewed": True}


def test_a_verdict_that_is_none_is_refused() -> None:
    """A word that is no verdict raises and says which ones there are."""
    with pytest.raises(MessageError, match="yes, no, don't know, not 'maybe'"):
        moderated(document(), Verdict("maybe", "Ann"), now=NOON)


@pytest.mark.parametrize(
    ("fields", "confirmed"),
    [
        ({"reviewed": True, "SRKWFound": "Yes"}, True),
        ({"reviewed": True, "SRKWFound": "no"}, False),
        ({"reviewed": False, "SRKWFound": "yes"}, False),
        ({"reviewed": True}, False),
    ],
)
def test_only_a_reviewed_yes_confirms(fields: Json, *, confirmed: bool) -> None:
    """Confirmed means reviewed and found, and nothing less."""
    assert is_confirmed(fields) is confirmed
