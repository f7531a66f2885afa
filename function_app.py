"""The app as Azure Functions sees it: one blueprint per trigger."""

import azure.functions as func

from functions import enqueue, record, score

app = func.FunctionApp()
for trigger in (enqueue, score, record):
    app.register_functions(trigger.blueprint)
