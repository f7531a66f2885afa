"""What passes between stages: faithful JSON, and messages that say what is wrong with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.documents import (
    ChannelLease,
    Document,
    Segment,
    SegmentBatch,
    StreamHealth,
    WindowScore,
)
from shared.errors import MessageError
from tests.documents.makers import START, documents, make_batch


@given(documents)
def test_json_and_back_is_the_same(document: Document) -> None:
    """Every document survives its own JSON, as text and as values that the strictest JSON writer accepts."""
    text = document.model_dump_json()

    assert type(document).parse(text, source="test") == document
    assert type(document).parse(text.encode(), source="test") == document
    assert type(document).parse(json.dumps(document.to_json(), allow_nan=False), source="test") == document


@given(documents)
def test_fields_of_a_newer_version_are_passed_over(document: Document) -> None:
    """A field that a newer Haro added does not stop an older one, wherever it stands."""

    def grown(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: grown(inner) for name, inner in value.items()} | {"added_later": [1]}
        return [grown(inner) for inner in value] if isinstance(value, list) else value

    body = {name: inner if name == "timings_s" else grown(inner) for name, inner in document.to_json().items()}

    assert type(document).parse(json.dumps(body | {"added_later": {}}), source="test") == document


def test_a_wrong_message_is_told_field_by_field() -> None:
    """MessageError names the source and every field that is wrong, so that a dead letter explains itself."""
    body = make_batch().to_json()
    body["epoch"] = -1
    body["segments"][2]["duration_s"] = 0
    body["segments"][4]["start_utc"] = "2026-03-20T07:00:19"
    del body["time_source"]

    with pytest.raises(MessageError) as caught:
        SegmentBatch.parse(json.dumps(body), source="message 7")
    message = str(caught.value)
    assert message.startswith("message 7 is not a valid SegmentBatch: ")
    for field in ("epoch", "segments.2.duration_s", "segments.4.start_utc", "time_source"):
        assert f"{field}: " in message


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "5", b"\xff\xfe", "\ud800", b"\x00", "{}" * 2])
def test_what_is_no_document_is_told(text: str | bytes) -> None:
    """Whatever bytes come from a queue, the answer is a MessageError with the source."""
    with pytest.raises(MessageError, match=r"^message 7 is not a valid SegmentBatch: document: "):
        SegmentBatch.parse(text, source="message 7")


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_no_bytes_at_all_make_a_crash(text: str | bytes) -> None:
    """Anything that is no batch is a MessageError and nothing else."""
    with pytest.raises(MessageError):
        SegmentBatch.parse(text, source="fuzz")


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive datetime is refused where it enters; one of another zone is the same moment in UTC."""
    with pytest.raises(ValidationError, match="timezone"):
        Segment(index=0, url="x", start_utc=datetime(2026, 3, 20, 7), duration_s=10.0)  # noqa: DTZ001 - the mistake tested

    pacific = timezone(timedelta(hours=-7))
    segment = Segment(index=0, url="x", start_utc=START.astimezone(pacific), duration_s=10.0)
    assert (segment.start_utc, segment.start_utc.tzinfo) == (START, UTC)
    assert segment.to_json()["start_utc"] == "2026-03-20T07:00:19Z"


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_a_time_beyond_the_calendar_is_refused(moment: str) -> None:
    """A moment that UTC cannot tell is a wrong field, not a crash."""
    with pytest.raises(MessageError, match=r"until_utc: .*no time that can be told in UTC"):
        ChannelLease.parse(json.dumps({"channel_id": "a", "until_utc": moment}), source="lease")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    """NaN and infinity are no JSON and no measurement: no document holds them."""
    with pytest.raises(MessageError, match="start_s"):
        WindowScore.parse(f'{{"start_s": {number}, "end_s": 1, "score": 0.5}}', source="window")
    with pytest.raises(ValidationError, match="level_dbfs"):
        StreamHealth(state="silent", level_dbfs=float(number))


def test_documents_cannot_be_changed() -> None:
    """A document that has been handed on stays what it was."""
    with pytest.raises(ValidationError, match="frozen"):
        make_batch().epoch = 0  # type: ignore[misc]  # the mistake is what is tested
