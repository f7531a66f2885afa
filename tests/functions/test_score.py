"""What becomes of a message of the queue."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from azure.functions.timer import TimerRequest

from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import GAPS, result_blob_name
from shared.errors import BlobNotFound, LeftToHost
from shared.house import House
from tests.functions.host import BATCH, bus_message, received, result_blob
from tests.house import HEARD_UTC
from tests.pipeline import EPOCHS, encoded_folders


def test_a_missing_segment_is_waited_for_until_the_last_delivery(
    trigger: Callable[[str, object], None], station: Station, house: House
) -> None:
    """A segment that may still come gives the message back; the last delivery of all takes it for missing."""
    house.now.now_utc = HEARD_UTC.replace(minute=1, second=30)  # type: ignore[attr-defined]  # a FakeClock
    node = Node(station, "test_node")
    node.start_folder(EPOCHS[0])
    for segment in encoded_folders()[0][:6]:
        node.add(segment, fault="missing" if segment.index == 4 else None)
    trigger("enqueue", TimerRequest())
    body = received(house).message.body

    with pytest.raises(LeftToHost, match="may still come"):
        trigger("score", bus_message(body, delivery_count=house.settings.max_deliveries - 1))
    trigger("score", bus_message(body, delivery_count=house.settings.max_deliveries))
    trigger("record", result_blob(result_blob_name(BATCH)))

    (gap,) = house.storage.documents.query(GAPS)
    assert (gap.body["reason"], gap.body["first_index"]) == ("missing", 4)


def test_what_cannot_be_understood_is_given_back_with_its_reason(
    trigger: Callable[[str, object], None], house: House
) -> None:
    """A message or a blob that is none of ours raises, naming itself: the host then sets it aside."""
    with pytest.raises(LeftToHost, match=f"message {BATCH} is not a valid SegmentBatch: "):
        trigger("score", bus_message("{"))
    with pytest.raises(BlobNotFound, match="results/none"):
        trigger("record", result_blob("results/none.json"))
