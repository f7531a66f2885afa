"""Blob: the third stage. A result that has arrived is recorded, and people are told."""

import azure.functions as func

from functions.house import the_house

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__


@blueprint.function_name("record")
@blueprint.blob_trigger(
    arg_name="result", path="results/{name}", connection="AzureWebJobsStorage", source=func.BlobSource.EVENT_GRID
)
def record(result: func.InputStream) -> None:
    """Record the result and deliver what is due."""
    house = the_house()
    house.record(result.name or "")
    house.deliver()
