"""Blob: the third stage. A result that has arrived is recorded, and people are told."""

import os

import azure.functions as func

from functions.house import the_house

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__

# This name alone, and any value: a wrong setting must be told by the functions, not keep them from being found.
_POLLING = os.environ.get("HARO_BLOB_SOURCE") == "polling"


@blueprint.function_name("record")
@blueprint.blob_trigger(
    arg_name="result",
    path="results/{name}",
    connection="AzureWebJobsStorage",
    source=func.BlobSource.LOGS_AND_CONTAINER_SCAN if _POLLING else func.BlobSource.EVENT_GRID,
)
def record(result: func.InputStream) -> None:
    """Record the result and deliver what is due."""
    house = the_house()
    house.record(result.name or "")
    house.deliver()
