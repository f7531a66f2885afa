"""The app as Azure Functions sees it: one blueprint per trigger."""

import azure.functions as func

from functions import deadletter, enqueue, health, reconcile, record, score
from functions.telemetry import send_telemetry

send_telemetry()
app = func.FunctionApp()
for trigger in (enqueue, score, record, deadletter, reconcile, health):
    app.register_functions(trigger.blueprint)
