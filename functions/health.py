"""HTTP: whether the app is alive, and whether it could do its work. Open to all, so it tells no more than that."""

import json
from http import HTTPStatus

import azure.functions as func

from functions.house import the_house
from shared.checks import Readiness

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__
_readiness = Readiness(the_house)


@blueprint.function_name("live")
@blueprint.route(route="health/live", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def live(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the binding passes it by name
    """Answer: this process runs and has found its functions."""
    return _answer({"process": True})


@blueprint.function_name("ready")
@blueprint.route(route="health/ready", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def ready(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - as above
    """Answer whether settings, model, channels and storage are all in order, as found half a minute ago at most."""
    return _answer(_readiness())


def _answer(checks: dict[str, bool]) -> func.HttpResponse:
    ok = all(checks.values())
    body = json.dumps({"status": "ok" if ok else "not ready", "checks": checks})
    status = HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE
    return func.HttpResponse(body, status_code=status, mimetype="application/json")
