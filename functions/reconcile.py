"""Timer: what was sent is compared with what was recorded, and what vanished in between is sent again."""

import azure.functions as func

from functions.house import the_house

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__


@blueprint.function_name("reconcile")
@blueprint.timer_trigger(arg_name="timer", schedule="%HARO_RECONCILE_SCHEDULE%", use_monitor=True)
def reconcile(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding passes it by name
    """Set right what got lost, and forget what is too old."""
    house = the_house()
    house.reconcile()
    house.clean()
