"""Timer: dead letters are counted, told by kind, and put back once their cause may be past."""

import azure.functions as func

from functions.house import the_house

blueprint = func.Blueprint()  # type: ignore[no-untyped-call]  # the package types no __init__


@blueprint.function_name("deadletter")
@blueprint.timer_trigger(arg_name="timer", schedule="%HARO_DEADLETTER_SCHEDULE%", use_monitor=True)
def deadletter(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding passes it by name
    """Tend the dead letters; the log and the metrics say what was found."""
    the_house().tend_dead_letters()
