"""One batch, one trace: whatever process does what, and nothing in it that is secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode, TraceFlags

from shared.demo.station import Station
from shared.documents import SegmentBatch, trace_parent
from shared.errors import BlobNotFound, StreamUnreachable
from shared.telemetry.traces import SPANS, span
from shared.upkeep.reconcile import reconcile
from tests.clock import FakeClock
from tests.house import HEARD_UTC, open_test_house, publish
from tests.pipeline import EPOCHS
from tests.recording.servers import http_server
from tests.scoring.fakes import FakeDetector
from tests.telemetry.conftest import Readings
from tests.upkeep.conftest import UpkeepDesk, make_batch

BATCH = f"test_node/{EPOCHS[0]}/0-5"
LATER = f"test_node/{EPOCHS[0]}/6-8"
SECRET = "sig=SESAME"  # noqa: S105 - what a test looks for


def trace_of(batch_id: str) -> int:
    """The trace that all processes derive for a batch."""
    return int(trace_parent(batch_id).split("-")[1], 16)


def ids(ended: ReadableSpan) -> tuple[int, int]:
    """Trace and parent of a span."""
    assert ended.context is not None
    assert ended.parent is not None
    return ended.context.trace_id, ended.parent.span_id


def test_a_batch_leaves_one_trace(
    station: Station, detector: FakeDetector, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    """Polled, scored, recorded and told by four houses, strangers to one another: one trace, every span in it."""
    node = publish(station, 6)
    with http_server() as people:
        settings = {"moderator_channels": f"json://127.0.0.1:{people.port}/hook"}
        clock = FakeClock(HEARD_UTC)
        with open_test_house(tmp_path, node, now=clock, **settings) as house:
            (report,) = house.poll()
        with open_test_house(tmp_path, node, now=clock, **settings) as house:
            scored = house.score(report.batches[0], last_try=False)
        with open_test_house(tmp_path, node, now=clock, **settings) as house:
            house.record(scored.result_blob)
        with open_test_house(tmp_path, node, now=clock, **settings) as house:
            assert house.deliver().sent == 1

    ended = spans.get_finished_spans()
    assert [one.name for one in ended] == ["enqueue", "score", "record", "notify"] == list(SPANS)
    parent = int(trace_parent(BATCH).split("-")[2], 16)
    assert {ids(one) for one in ended} == {(trace_of(BATCH), parent)}
    told = {one.name: dict(one.attributes or {}) for one in ended}
    assert told["enqueue"] == {
        "haro.batch_id": BATCH,
        "haro.hydrophone": "test_node",
        "haro.origin": "live",
        "haro.segments": 6,
    }
    assert told["score"]["haro.detected"] is True
    assert told["score"]["haro.model_version"] == detector.metadata.model_version
    assert {f"haro.{step}_s" for step in scored.result.timings_s} <= set(told["score"])
    assert told["record"]["haro.detection"] == scored.result.detection_id
    assert (told["notify"]["haro.audience"], told["notify"]["haro.detections"]) == ("moderators", 1)


def test_a_message_of_several_batches_is_linked_to_all(
    station: Station, detector: FakeDetector, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    """A bout told in one message stands in its first batch's trace and links to the other's."""
    node = publish(station, 9)
    with (
        http_server() as people,
        open_test_house(tmp_path, node, moderator_channels=f"json://127.0.0.1:{people.port}/hook") as house,
    ):
        (report,) = house.poll()
        for batch in report.batches:
            house.record(house.score(batch, last_try=False).result_blob)
        house.deliver(hold_nothing_back=True)

    (notify,) = [one for one in spans.get_finished_spans() if one.name == "notify"]
    assert ids(notify)[0] == trace_of(BATCH)
    assert [link.context.trace_id for link in notify.links] == [trace_of(LATER)]


def test_what_vanished_is_sent_again_in_its_trace(
    desk: UpkeepDesk, spans: InMemorySpanExporter, readings: Readings
) -> None:
    """A batch that the queue lost is seen to be sent a second time, and counted."""
    batch = make_batch(0)
    desk.send(batch)
    desk.lose_message()
    desk.clock.advance(3600)
    spans.clear()

    reconcile(
        documents=desk.documents,
        blobs=desk.blobs,
        queue=desk.queue,
        record=lambda blob: None,
        grace_s=1800,
        now=desk.clock,
    )

    (again,) = spans.get_finished_spans()
    assert (again.name, ids(again)[0]) == ("enqueue", trace_of(batch.id))
    assert (again.attributes or {})["haro.resent"] == 1
    assert readings.take()["haro.resent"][()].value == 1


def test_a_span_is_linked_to_the_one_around_it(spans: InMemorySpanExporter) -> None:
    """What the function host began is found from the batch's trace, though it is another one."""
    host = SpanContext(trace_id=7, span_id=8, is_remote=True, trace_flags=TraceFlags(1))

    with trace.use_span(trace.NonRecordingSpan(host)), span("score", BATCH):
        pass

    (ended,) = spans.get_finished_spans()
    assert ids(ended)[0] == trace_of(BATCH)
    assert [link.context for link in ended.links] == [host]


def test_without_a_batch_a_span_has_a_trace_of_its_own(spans: InMemorySpanExporter) -> None:
    """A detection that names no batch is told of all the same."""
    with span("notify", None, channel=None):
        pass

    (ended,) = spans.get_finished_spans()
    assert ended.parent is None
    assert ended.attributes == {}


def test_an_error_of_haros_own_is_noted_with_its_message(spans: InMemorySpanExporter) -> None:
    """A stage that fails says why in its span, and fails as it would without one."""
    with pytest.raises(StreamUnreachable), span("score", BATCH):
        raise StreamUnreachable("no answer from node")

    (ended,) = spans.get_finished_spans()
    assert (ended.status.status_code, ended.status.description) == (StatusCode.ERROR, "no answer from node")
    assert (ended.attributes or {})["error.type"] == "shared.errors.StreamUnreachable"
    (event,) = ended.events
    assert (event.name, dict(event.attributes or {})) == (
        "exception",
        {"exception.type": "shared.errors.StreamUnreachable", "exception.message": "no answer from node"},
    )


def test_no_secret_of_a_foreign_error_is_in_a_span(spans: InMemorySpanExporter) -> None:
    """Of an error from elsewhere, and of what caused one, no message is kept: they hold addresses with their keys."""
    cause = ValueError(f"https://account/blob?{SECRET}")

    def fail() -> None:
        raise RuntimeError(f"cannot open https://account/blob?{SECRET}") from cause

    with pytest.raises(RuntimeError), span("record", BATCH):
        fail()
    with pytest.raises(BlobNotFound), span("record", BATCH):
        raise BlobNotFound("no blob results/x.json") from cause

    ended = spans.get_finished_spans()
    assert "SESAME" not in "".join(one.to_json() for one in ended)
    (event,) = ended[0].events
    told = dict(event.attributes or {})
    assert told["exception.type"] == "RuntimeError"
    assert "in fail" in str(told["exception.stacktrace"])


def test_a_failing_stage_leaves_its_span(
    station: Station, detector: FakeDetector, tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    """A batch whose segments cannot be had, and a result that is none, are seen to fail in their traces."""
    node = publish(station, 6)
    with open_test_house(tmp_path, node) as house:
        (report,) = house.poll()
        gone = report.batches[0].model_dump() | {"hydrophone_id": "gone"}
        for segment in gone["segments"]:
            segment["url"] = "http://127.0.0.1:9/none.ts"
        with pytest.raises(StreamUnreachable):
            house.score(SegmentBatch.model_validate(gone), last_try=False)
        with pytest.raises(BlobNotFound):
            house.record(f"results/{BATCH}.json")

    score, record = spans.get_finished_spans()[-2:]
    assert (score.name, record.name) == ("score", "record")
    assert {score.status.status_code, record.status.status_code} == {StatusCode.ERROR}
    assert ids(record)[0] == trace_of(BATCH)
