"""What the function app sends to Application Insights, read by a server on loopback that stands for it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared.documents import trace_parent
from tests.conftest import ROOT

BATCH = "test_node/1773990017/0-5"
TRACE = trace_parent(BATCH).split("-")[1]
KEY = "00000000-0000-0000-0000-00000000c0de"
AN_APP = f"""
import function_app
import logging
from shared.errors import ModelError
from shared.telemetry import metrics
from shared.telemetry.traces import span
from functions.telemetry import send_telemetry
send_telemetry()
logging.basicConfig(format="root: %(message)s")
log = logging.getLogger("shared.scoring.score")
with span("score", {BATCH!r}, hydrophone="test_node"):
    log.warning("one segment is %s", "missing")
    logging.getLogger("functions.enqueue").warning("a function's word")
    logging.getLogger("elsewhere").warning("not ours")
    metrics.queue_seen(waiting=2, dead=1, oldest_age_s=17.5)
    metrics.notified("moderators", "sent")
    try:
        raise ValueError("https://account/blob?sig=SESAME")
    except ValueError:
        log.exception("a bug, met with message 1")
try:
    with span("record", {BATCH!r}):
        raise ModelError("model.onnx: no metadata")
except ModelError:
    pass
print("done")
"""


@contextmanager
def insights() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An ingestion endpoint: its address, and every envelope that came."""
    came: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            envelopes = json.loads(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            came.extend({"path": self.path, **envelope} for envelope in envelopes)
            answer = json.dumps({"itemsReceived": len(envelopes), "itemsAccepted": len(envelopes), "errors": []})
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", came
        finally:
            server.shutdown()
            thread.join()


def run_app(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an app's process to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HARO_", "APPLICATIONINSIGHTS"))}
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", code],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def of_kind(came: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The envelopes with that kind of data."""
    return [envelope for envelope in came if envelope["data"]["baseType"] == kind]


@pytest.fixture(scope="module")
def sent() -> tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]:
    """What an app that did a little of everything wrote and sent."""
    with insights() as (address, came):
        done = run_app(
            AN_APP, APPLICATIONINSIGHTS_CONNECTION_STRING=f"InstrumentationKey={KEY};IngestionEndpoint={address}/"
        )
    assert done.returncode == 0, done.stderr
    return done, came


Sent = tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]


def told(envelope: Mapping[str, Any]) -> tuple[str, str]:
    """The trace an envelope belongs to, and the role that sent it."""
    return envelope["tags"].get("ai.operation.id", ""), envelope["tags"]["ai.cloud.role"]


def test_spans_arrive_in_the_batchs_trace(sent: Sent) -> None:
    """Both spans are dependencies whose operation id is the trace of the batch, with success and attributes."""
    dependencies = {one["data"]["baseData"]["name"]: one for one in of_kind(sent[1], "RemoteDependencyData")}

    assert set(dependencies) == {"score", "record"}
    assert {told(one) for one in dependencies.values()} == {(TRACE, "haro")}
    assert {name: one["data"]["baseData"]["success"] for name, one in dependencies.items()} == {
        "score": True,
        "record": False,
    }
    assert dependencies["score"]["data"]["baseData"]["properties"]["haro.hydrophone"] == "test_node"
    assert {one["iKey"] for one in sent[1]} == {KEY}


def test_metrics_arrive_under_their_names(sent: Sent) -> None:
    """What was measured up to the end of the process is there, with its attributes as dimensions."""
    points = {
        one["data"]["baseData"]["metrics"][0]["name"]: one["data"]["baseData"] for one in of_kind(sent[1], "MetricData")
    }
    mine = {name: data for name, data in points.items() if name.startswith("haro.")}

    assert {name: data["metrics"][0]["value"] for name, data in mine.items()} == {
        "haro.queue.age": 17.5,
        "haro.queue.waiting": 2,
        "haro.queue.dead": 1,
        "haro.notifications": 1,
    }
    assert mine["haro.notifications"]["properties"] == {"audience": "moderators", "outcome": "sent"}


def test_logs_of_our_own_arrive_once_in_their_trace(sent: Sent) -> None:
    """Lines of `shared` and `functions` arrive, in the trace they were written in; none goes to the root as well."""
    messages = of_kind(sent[1], "MessageData")

    assert [(one["data"]["baseData"]["message"], *told(one)) for one in messages] == [
        ("one segment is missing", TRACE, "haro"),
        ("a function's word", TRACE, "haro"),
    ]
    assert "root: not ours" in sent[0].stderr
    assert "root: one segment" not in sent[0].stderr


def test_errors_arrive_without_secrets(sent: Sent) -> None:
    """A stage's error and a logged bug are exceptions in the batch's trace; the bug's message stays at home."""
    exceptions = of_kind(sent[1], "ExceptionData")
    found = [one["data"]["baseData"]["exceptions"][0] for one in exceptions]

    assert {one["typeName"]: one["message"] for one in found} == {
        "shared.errors.ModelError": "model.onnx: no metadata",
        "ValueError": "a bug, met with message 1",
    }
    assert {told(one) for one in exceptions} == {(TRACE, "haro")}
    assert "SESAME" not in json.dumps(sent[1])


def test_nothing_is_sent_without_a_token_where_one_is_asked_for() -> None:
    """With `Authorization=AAD` the exporters sign in first: to a server that gets no token, nothing is told."""
    with insights() as (address, came):
        done = run_app(
            AN_APP,
            APPLICATIONINSIGHTS_CONNECTION_STRING=f"InstrumentationKey={KEY};IngestionEndpoint={address}/",
            APPLICATIONINSIGHTS_AUTHENTICATION_STRING=f"ClientId={KEY};Authorization=AAD",
        )

    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert came == []


@pytest.mark.parametrize("connection", ["InstrumentationKey=SESAME", "SESAME", f"InstrumentationKey={KEY};SESAME"])
def test_a_wrong_connection_string_is_told_and_stops_nothing(connection: str) -> None:
    """The app works without telemetry, says so once, and shows nothing of the string."""
    done = run_app(AN_APP, APPLICATIONINSIGHTS_CONNECTION_STRING=connection)

    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr
    assert done.stderr.count("APPLICATIONINSIGHTS_CONNECTION_STRING cannot be used") == 1
    assert "SESAME" not in done.stderr.replace("sig=SESAME", "")
