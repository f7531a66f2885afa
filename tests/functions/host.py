"""What the host hands to the functions."""

from __future__ import annotations

import azure.functions as func
from azure.functions.blob import InputStream
from azure.functions.servicebus import ServiceBusMessage

from shared.house import House
from shared.storage.ports import Delivery
from tests.pipeline import EPOCHS

BATCH = f"test_node/{EPOCHS[0]}/0-5"


def bus_message(body: str, *, delivery_count: int = 1) -> func.ServiceBusMessage:
    """A message as the host hands it over."""
    return ServiceBusMessage(
        body=body.encode(),
        message_id=BATCH,
        delivery_count=delivery_count,
        application_properties={},
        user_properties={},
    )


def result_blob(name: str, data: bytes = b"") -> func.InputStream:
    """A blob as the host hands it over: its name begins with the container."""
    return InputStream(data=data, name=name, uri=f"https://account.blob.core.windows.net/{name}", length=len(data))


def received(house: House) -> Delivery:
    """The next batch on the queue."""
    delivery = house.storage.batches.receive()
    assert delivery is not None
    return delivery
