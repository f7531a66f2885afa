"""Service Bus queue: the second stage. One batch of segments becomes one result."""

import azure.functions as func

from functions.house import the_house
from shared.storage.azure.hosted import delivery_of

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__


@blueprint.function_name("score")
@blueprint.service_bus_queue_trigger(
    arg_name="message", queue_name="segment-batches", connection="ServiceBusConnection"
)
def score(message: func.ServiceBusMessage) -> None:
    """Score the batch. What fails now comes again later; an error is raised where only the host can set it aside."""
    delivery = delivery_of(
        message_id=message.message_id,
        body=message.get_body(),
        delivery_count=message.delivery_count,
        application_properties=message.application_properties,
        enqueued_utc=message.enqueued_time_utc,
        locked_until_utc=message.locked_until,
        lock_token=message.lock_token,
    )
    the_house().score_hosted(delivery)
