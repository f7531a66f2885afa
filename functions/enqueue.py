"""Timer: the first stage. New segment batches of every hydrophone go on the queue, and people hear what is due."""

import logging

import azure.functions as func

from functions.house import the_house

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__

_log = logging.getLogger(__name__)


@blueprint.function_name("enqueue")
@blueprint.timer_trigger(arg_name="timer", schedule="%HARO_POLL_SCHEDULE%", use_monitor=True)
def enqueue(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding passes it by name
    """Poll every hydrophone, feed old audio as far as the queue has room, and tell what was held back or failed."""
    house = the_house()
    try:
        for report in house.poll():
            if report.message:
                level = logging.WARNING if report.state == "unreachable" else logging.INFO
                _log.log(level, "%s: %s. %s", report.hydrophone_id, report.state, report.message)
        house.backfill()
    finally:
        house.deliver()  # people do not wait for a queue that is down
