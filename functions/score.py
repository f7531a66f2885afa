"""Service Bus queue: the second stage. One batch of segments becomes one result."""

import azure.functions as func

from functions.house import the_house
from shared.documents import SegmentBatch

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__


@blueprint.function_name("score")
@blueprint.service_bus_queue_trigger(
    arg_name="message", queue_name="segment-batches", connection="ServiceBusConnection"
)
def score(message: func.ServiceBusMessage) -> None:
    """Score the batch. An error gives the message back to the queue, which sets it aside after the last delivery."""
    house = the_house()
    batch = SegmentBatch.parse(message.get_body(), source=f"message {message.message_id}")
    house.score(batch, last_try=(message.delivery_count or 1) >= house.settings.max_deliveries)
