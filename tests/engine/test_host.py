"""The stand-in for the host refuses what the real one refuses, and hands over what the real one hands over."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.engine.host import FunctionHost, HostError, WorkerError

SETTINGS = {
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "Bus": "Endpoint=sb://localhost;",
    "SCHEDULE": "0 0 * * * *",
}

TIMER = """
@app.timer_trigger(arg_name="tick", schedule="%SCHEDULE%")
def hourly(tick: func.TimerRequest) -> None: ...
"""
TALKATIVE = """
import json, logging, os, sys, time

@app.timer_trigger(arg_name="tick", schedule="%SCHEDULE%", use_monitor=True)
def clock(tick: func.TimerRequest) -> None:
    os.write(1, b"the app writes where the answers go\\n")
    print("prints", sys.stdin.read())
    logging.info("late %s, last %s", tick.past_due, "Last" in tick.schedule_status)

@app.service_bus_queue_trigger(arg_name="message", queue_name="jobs", connection="Bus")
def job(message: func.ServiceBusMessage) -> None:
    told = {
        "id": message.message_id,
        "deliveries": message.delivery_count,
        "sequence": message.sequence_number,
        "enqueued": message.enqueued_time_utc.isoformat(),
        "properties": message.application_properties,
        "body": message.get_body().decode(),
    }
    logging.warning("told %s", json.dumps(told))
    if told["body"] == "wait":
        open(os.environ["MARK"], "w").close()
        time.sleep(60)
    if told["body"] == "die":
        os._exit(7)
    if told["body"] == "fail":
        raise KeyError("nothing there")

@app.blob_trigger(arg_name="text", path="in/{name}", connection="AzureWebJobsStorage")
def read_text(text: func.InputStream) -> None:
    logging.info("blob %s %s %s %s %s", text.name, text.uri, text.length, text.metadata, text.read())

@app.blob_trigger(arg_name="data", path="in/{name}", connection="AzureWebJobsStorage", data_type=func.DataType.BINARY)
def read_bytes(data: func.InputStream) -> None:
    logging.info("blob %s", data.read())

@app.route(route="orders/{number}", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def order(req: func.HttpRequest) -> func.HttpResponse:
    said = [req.method, req.route_params["number"], req.params["q"], req.get_body().decode()]
    return func.HttpResponse(json.dumps(said), status_code=418, mimetype="application/json", headers={"x-tea": "yes"})
"""
JOB_TOLD: dict[str, Any] = {"message_id": "m-1", "delivery_count": 3, "sequence_number": 12}


@pytest.fixture(scope="module")
def write_app(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write a tiny app; its folder."""

    def write(functions: str) -> Path:
        folder = tmp_path_factory.mktemp("app")
        head = "import azure.functions as func\napp = func.FunctionApp()\n"
        (folder / "function_app.py").write_text(head + dedent(functions))
        return folder

    return write


@pytest.fixture
def refusal(engine_python: Path, write_app: Callable[[str], Path]) -> Callable[..., str]:
    """Why the host does not take an app; settings of None are not given."""

    def ask(functions: str, **changed: str | None) -> str:
        settings = {name: value for name, value in (SETTINGS | changed).items() if value is not None}
        with pytest.raises(HostError) as raised, FunctionHost(engine_python, write_app(functions), settings):
            pass
        return str(raised.value)

    return ask


@pytest.fixture(scope="module")
def mark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file the waiting function makes when it begins to wait."""
    return tmp_path_factory.mktemp("mark") / "waiting"


@pytest.fixture(scope="module")
def host(engine_python: Path, write_app: Callable[[str], Path], mark: Path) -> Iterator[FunctionHost]:
    """A host with an app that tells what it was given."""
    with FunctionHost(engine_python, write_app(TALKATIVE), SETTINGS | {"MARK": str(mark)}) as host:
        yield host


def last_log(logs: tuple[str, ...]) -> str:
    """What the app logged last."""
    return logs[-1].partition(": ")[2]


def test_the_engine_refuses_what_does_not_fit_together(refusal: Callable[..., str]) -> None:
    """A parameter no binding names, a wrong type, two functions of one name, a missing module: each by name."""
    assert "hourly" in refusal(TIMER.replace("tick: func", "tock: func"))
    assert "annotation HttpRequest" in refusal(TIMER.replace("func.TimerRequest", "func.HttpRequest"))
    assert "hourly does not have a unique function name" in refusal(TIMER + TIMER)
    assert "No module named 'no_such_module'" in refusal("import no_such_module")
    assert "there are no functions" in refusal("")


def test_an_unset_setting_in_a_binding_is_refused(refusal: Callable[..., str]) -> None:
    """%NAME% without a value is an error that names function and setting; an empty value is none."""
    for value in (None, ""):
        assert refusal(TIMER, SCHEDULE=value) == "hourly: %SCHEDULE% does not resolve: there is no such app setting"


def test_a_wrong_schedule_is_refused(refusal: Callable[..., str]) -> None:
    """A schedule of five fields is an error that quotes it, though the engine itself takes anything."""
    assert refusal(TIMER, SCHEDULE="*/5 * * * *").startswith("hourly: schedule '*/5 * * * *' has 5 fields, not 6")


def test_a_missing_connection_is_refused(refusal: Callable[..., str]) -> None:
    """A trigger without its connection, or with an identity that lacks a part, is told what to set."""
    assert refusal(TIMER, AzureWebJobsStorage=None).startswith("hourly: no connection AzureWebJobsStorage: set it")
    partly = {
        "Bus__fullyQualifiedNamespace": "haro.servicebus.windows.net",
        "Bus__credential": "managedidentity",
        "AzureWebJobsStorage__blobServiceUri": "https://haro.blob.core.windows.net",
        "AzureWebJobsStorage__clientId": "some-identity",
    }
    wrong = refusal(TALKATIVE, AzureWebJobsStorage=None, Bus=None, **partly)
    assert set(wrong.split("; ")) == {
        "clock: no connection AzureWebJobsStorage: set it, or for an identity "
        "AzureWebJobsStorage__credential=managedidentity",
        "job: no connection Bus: set it, or for an identity Bus__clientId",
        *(
            f"{name}: no connection AzureWebJobsStorage: set it, or for an identity "
            "AzureWebJobsStorage__queueServiceUri, AzureWebJobsStorage__credential=managedidentity"
            for name in ("read_text", "read_bytes")
        ),
    }


@pytest.mark.parametrize("name", ["Hourly", "2hourly", "hour ly", "host"])
def test_a_name_with_capitals_or_none_at_all_is_refused(refusal: Callable[..., str], name: str) -> None:
    """A function is called in lower case, and not "host"."""
    named = TIMER.replace("@app.timer", f'@app.function_name("{name}")\n@app.timer')

    assert refusal(named).startswith(f"{name}: no name for a function")


def test_an_identity_is_a_connection(engine_python: Path, write_app: Callable[[str], Path]) -> None:
    """An app whose connections are addresses and an identity is taken, with its schedule resolved."""
    settings = {
        "SCHEDULE": "0 0 * * * *",
        "AzureWebJobsStorage__blobServiceUri": "https://haro.blob.core.windows.net",
        "AzureWebJobsStorage__credential": "managedidentity",
        "AzureWebJobsStorage__clientId": "some-identity",
    }
    with FunctionHost(engine_python, write_app(TIMER), settings) as host:
        assert host.functions["hourly"].trigger["schedule"] == "0 0 * * * *"


def test_a_timer_is_told_whether_it_is_late(host: FunctionHost) -> None:
    """The tick arrives, and what the app prints does not disturb the answers."""
    for late in (True, False):
        outcome = host.invoke_timer("clock", past_due=late)
        assert (outcome.ok, outcome.error) == (True, "")
        assert last_log(outcome.logs) == f"late {late}, last True"


def test_a_message_brings_its_metadata(host: FunctionHost) -> None:
    """Id, counts, times and properties of a message reach the function as a real message's do."""
    outcome = host.invoke_service_bus("job", "work", application_properties={"traceparent": "00-1"}, **JOB_TOLD)

    assert outcome.ok
    told = json.loads(last_log(outcome.logs).removeprefix("told "))
    assert told.pop("enqueued").endswith("+00:00")
    assert told == {
        "id": "m-1",
        "deliveries": 3,
        "sequence": 12,
        "properties": {"traceparent": "00-1"},
        "body": "work",
    }


def test_a_field_of_the_body_hides_what_the_host_tells(host: FunctionHost) -> None:
    """As with the real host, a message that is a JSON object with a field `messageId` has lost its own id."""
    outcome = host.invoke_service_bus("job", json.dumps({"messageId": 1, "segments": []}), **JOB_TOLD)

    assert json.loads(last_log(outcome.logs).removeprefix("told "))["id"] is None


def test_a_failure_tells_its_error(host: FunctionHost) -> None:
    """An exception becomes the outcome: type, message and where it was raised; the next call is served."""
    outcome = host.invoke_service_bus("job", "fail", **JOB_TOLD)

    assert (outcome.ok, outcome.error) == (False, "KeyError: 'nothing there'")
    assert "function_app.py" in outcome.stack_trace
    assert host.invoke_timer("clock").ok


def test_a_blob_brings_name_address_and_content(host: FunctionHost) -> None:
    """A blob comes as text, or as bytes to a trigger that asks for binary data."""
    given: dict[str, Any] = {"uri": "http://127.0.0.1/in/a.txt", "metadata": {"k": "v"}}
    text = host.invoke_blob("read_text", "in/a.txt", b"caf\xc3\xa9 \xff", **given)
    data = host.invoke_blob("read_bytes", "in/a.txt", b"\xff\x00", **given)

    shown = "café \N{REPLACEMENT CHARACTER}".encode()
    assert last_log(text.logs) == f"blob in/a.txt http://127.0.0.1/in/a.txt 7 {{'k': 'v'}} {shown!r}"
    assert last_log(data.logs) == f"blob {bytes([255, 0])!r}"


def test_a_request_is_answered(host: FunctionHost) -> None:
    """Route, query and body reach an async function; status, headers and body come back."""
    outcome = host.invoke_http("order", "POST", "/api/orders/7", params={"q": "a b"}, body=b"tea")

    assert outcome.http is not None
    assert outcome.http.status == 418
    assert outcome.http.headers["x-tea"] == "yes"
    assert outcome.http.headers["content-type"] == "application/json"
    assert json.loads(outcome.http.body) == ["POST", "7", "a b", "tea"]


def test_a_call_that_does_not_fit_the_trigger_is_a_mistake_of_the_test(host: FunctionHost) -> None:
    """Unknown function, another trigger's payload, a route or method of nobody: all say so before anything runs."""
    with pytest.raises(ValueError, match="there is no function clack: there are clock, job"):
        host.invoke_timer("clack")
    with pytest.raises(ValueError, match="job has a serviceBusTrigger, no timerTrigger"):
        host.invoke_timer("job")
    for method, path in (("GET", "/api/orders/7"), ("POST", "/orders/7"), ("POST", "/api/orders/7/x")):
        with pytest.raises(ValueError, match=re.escape(f"{method} {path} is not for order")):
            host.invoke_http("order", method, path)


def test_a_worker_killed_in_the_middle_is_gone_and_can_be_started_again(host: FunctionHost, mark: Path) -> None:
    """Who waits for its answer learns that there is none; so does who calls after; a new worker serves again."""
    mark.unlink(missing_ok=True)
    with ThreadPoolExecutor(1) as pool, ExitStack() as ended:
        ended.callback(host.kill)  # whatever happens, the pool must not wait for a minute
        waiting = pool.submit(host.invoke_service_bus, "job", "wait", **JOB_TOLD)
        while not (mark.exists() or waiting.done()):
            time.sleep(0.01)
        host.kill()
        with pytest.raises(WorkerError, match="the worker ended with -9"):
            waiting.result()
    with pytest.raises(WorkerError):
        host.invoke_timer("clock")

    host.start()
    assert host.invoke_timer("clock").ok


def test_a_worker_that_dies_leaves_its_last_words(host: FunctionHost) -> None:
    """The exit code and what was printed are in the error."""
    host.invoke_timer("clock")
    with pytest.raises(WorkerError, match=r"(?s)the worker ended with 7.*prints"):
        host.invoke_service_bus("job", "die", **JOB_TOLD)
    host.start()


def test_a_worker_that_takes_too_long_is_ended(
    engine_python: Path, write_app: Callable[[str], Path], mark: Path
) -> None:
    """An invocation beyond the timeout ends as if the worker had been killed, instead of never."""
    settings = SETTINGS | {"MARK": str(mark)}
    with FunctionHost(engine_python, write_app(TALKATIVE), settings) as host:
        host.timeout_s = 3
        with pytest.raises(WorkerError, match="the worker ended with -9"):
            host.invoke_service_bus("job", "wait", **JOB_TOLD)
