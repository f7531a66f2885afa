"""What people read."""

from __future__ import annotations

from datetime import timedelta

from shared.recording.detections import Verdict, detection_document, moderated
from shared.recording.messages import LISTED, local_and_utc, notice_for
from shared.recording.notify import Due
from shared.storage.ports import Json
from tests.recording.fakes import LAB, NOON, make_result


def _heard(minute: int, comments: str = "") -> Json:
    result = make_result(NOON + timedelta(minutes=minute))
    audio = f"https://a/{minute}.flac"
    detection = detection_document(result, LAB, audio_uri=audio, image_uri=f"https://a/{minute}.png", result_blob="")
    return moderated(detection, Verdict("yes", "Ann", comments), now=NOON)


def _due(bout_size: int) -> Due:
    return Due("key", (), (), "bout", NOON, bout_size)


def test_moderators_read_what_they_need_to_judge() -> None:
    """Place, both times, confidence, links and id are in the message, and that it is only a candidate."""
    notice = notice_for("moderators", _due(1), (_heard(0),))

    assert notice.title == "Orca call candidate at Orcasound Lab"
    assert notice.idempotency_key == "key"
    assert notice.body == "\n".join(
        [
            "Haro heard what may be orcas at Orcasound Lab.",
            "",
            "2026-03-20 12:00:00 PDT (19:00:00 UTC), confidence 80 %",
            "  audio:     https://a/0.flac",
            "  picture:   https://a/0.png",
            f"  detection: {_heard(0)['id']}",
            "",
            "These are candidates: please listen, and say what you hear.",
        ]
    )


def test_a_long_bout_is_counted_and_every_id_named() -> None:
    """More than a screenful is listed in order of time, the rest counted, and no detection goes unnamed."""
    detections = tuple(_heard(minute) for minute in reversed(range(LISTED + 3)))

    notice = notice_for("moderators", _due(LISTED + 7), detections)

    assert notice.title == f"{LISTED + 3} more orca call candidates at Orcasound Lab"
    assert "and 3 more:" in notice.body
    assert all(detection["id"] in notice.body for detection in detections)
    assert notice.body.index("12:00:00 PDT") < notice.body.index("12:19:00 PDT")
    assert f"{LISTED + 7} detections so far" in notice.body


def test_subscribers_read_where_when_and_what_the_moderator_says() -> None:
    """A confirmed detection names the place, its position, the time and the moderator's words."""
    notice = notice_for("subscribers", _due(1), (_heard(0, "J pod"), _heard(1)))

    assert notice.title == "Orcas heard at Orcasound Lab"
    assert "2026-03-20 12:01:00 PDT (19:01:00 UTC)" in notice.body
    assert "Ann writes: J pod" in notice.body
    assert "Where: 48.55834, -123.17358" in notice.body
    bare = notice_for("subscribers", _due(1), tuple({**_heard(m), "location": None} for m in range(LISTED + 1)))
    assert bare.title == f"Orcas heard at {LAB.id}"
    assert "and 1 more" in bare.body
    assert "Where" not in bare.body


def test_only_moderators_are_given_paths_of_the_station() -> None:
    """A file on the station's disk is named to its moderators and not to subscribers, who get web links alone."""
    kept = {**_heard(0), "audioUri": "file:///data/0.flac", "imageUri": "file:///data/0.png"}

    to_moderators = notice_for("moderators", _due(1), (kept,)).body
    assert "audio:     file:///data/0.flac" in to_moderators
    assert "picture:   file:///data/0.png" in to_moderators
    to_subscribers = notice_for("subscribers", _due(2), (kept, _heard(1))).body
    assert "file:" not in to_subscribers
    assert to_subscribers.count("listen:") == to_subscribers.count("listen: https://a/1.flac") == 1


def test_a_detection_that_says_the_least_can_be_told() -> None:
    """A document of another tool without links makes a message all the same."""
    least = {key: value for key, value in _heard(0).items() if key not in {"audioUri", "imageUri"}}

    assert "audio:     not kept" in notice_for("moderators", _due(1), (least,)).body
    assert "listen:" not in notice_for("subscribers", _due(1), (least,)).body


def test_times_follow_the_coast_through_the_year() -> None:
    """Winter is PST, summer PDT."""
    assert local_and_utc(NOON.replace(month=1)) == "2026-01-20 11:00:00 PST (19:00:00 UTC)"
