"""A stand-in for the .NET host: starts the worker, checks the app as the host does, hands functions their triggers.

What it proves is emulator results: docs/decisions/0017-engine-tests.md says what is not among them.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.engine import payloads
from tests.engine.rules import Function, check

_WORKER = Path(__file__).parent / "worker.py"
_PASSED_ON = ("HOME", "LANG", "PATH", "TMPDIR")
"""Of the test's own environment, all that the app sees beside its settings."""


class HostError(Exception):
    """The app is not run: the message says all that is wrong with it."""


class WorkerError(Exception):
    """The worker's process ended, or was ended, before it answered."""


@dataclass(frozen=True)
class HttpAnswer:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Outcome:
    """How an invocation ended: with an error (`Type: message`) or without, and what the app logged meanwhile."""

    ok: bool
    error: str
    stack_trace: str
    logs: tuple[str, ...]
    http: HttpAnswer | None = None


class FunctionHost:
    """One app in a process of its own, from `start` (or `with`) to `stop`.

    Args:
        python: the Python of .venv/engine.
        app: folder with function_app.py.
        settings: app settings; the app sees them as its environment.

    Attributes:
        timeout_s: how long indexing or one invocation may take before the worker is ended.
    """

    def __init__(self, python: Path, app: Path, settings: Mapping[str, str]) -> None:
        self.functions: dict[str, Function] = {}
        self._command = [str(python), "-P", str(_WORKER), str(app)]
        self._settings = dict(settings)
        self.timeout_s = 300.0
        self._process: subprocess.Popen[str] | None = None
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the worker, a new one if there was one; index and check the app. Raises HostError."""
        self._end()
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=passed_on | self._settings,
        )
        indexed = self._answer()
        if "refused" in indexed:
            raise HostError(indexed["refused"])
        found = [Function(one["name"], tuple(one["bindings"])) for one in indexed["functions"]]
        functions, wrong = check(found, self._settings)
        if wrong:
            raise HostError("; ".join(wrong))
        self.functions = {function.name: function for function in functions}

    def stop(self) -> None:
        """End the worker as a host that shuts down does: it may finish and clean up."""
        self._end()
        self._said.close()

    def kill(self) -> None:
        """End the worker's process at once, whatever it is doing; it may be called while another thread invokes."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def invoke_timer(self, name: str, *, past_due: bool = False) -> Outcome:
        """Let a timer tick."""
        return self._invoke(name, payloads.timer(datetime.now(UTC), past_due=past_due))

    def invoke_service_bus(
        self,
        name: str,
        body: str,
        *,
        message_id: str,
        delivery_count: int = 1,
        sequence_number: int = 1,
        enqueued_utc: datetime | None = None,
        lock_token: str | None = None,
        application_properties: Mapping[str, object] | None = None,
    ) -> Outcome:
        """Hand over a message."""
        payload = payloads.service_bus(
            datetime.now(UTC),
            body=body,
            message_id=message_id,
            delivery_count=delivery_count,
            sequence_number=sequence_number,
            enqueued_utc=enqueued_utc,
            lock_token=lock_token,
            application_properties=application_properties,
        )
        return self._invoke(name, payload)

    def invoke_blob(
        self, name: str, blob_name: str, data: bytes, *, uri: str, metadata: Mapping[str, str] | None = None
    ) -> Outcome:
        """Hand over a blob; its name begins with the container."""
        binary = str(self._function(name).trigger.get("dataType", "")).upper() == "BINARY"
        payload = payloads.blob(datetime.now(UTC), name=blob_name, data=data, uri=uri, binary=binary, metadata=metadata)
        return self._invoke(name, payload)

    def invoke_http(
        self, name: str, method: str, path: str, *, params: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Outcome:
        """Send a request; `path` must be one of the function's own route, below /api."""
        trigger = self._function(name).trigger
        route = re.sub(r"\{(\w+)[^}]*\}", r"(?P<\1>[^/]+)", f"/api/{trigger.get('route', name)}")
        match = re.fullmatch(route, path)
        if match is None or method not in trigger.get("methods", [method]):
            raise ValueError(f"{method} {path} is not for {name}: its trigger is {dict(trigger)}")
        return self._invoke(
            name,
            payloads.http(method, path, params=params or {}, route_params=match.groupdict(), body=body),
        )

    def _function(self, name: str) -> Function:
        if name not in self.functions:
            raise ValueError(f"there is no function {name}: there are {', '.join(sorted(self.functions))}")
        return self.functions[name]

    def _invoke(self, name: str, payload: payloads.Payload) -> Outcome:
        trigger = self._function(name).trigger
        if trigger["type"] != payload.trigger:
            raise ValueError(f"{name} has a {trigger['type']}, no {payload.trigger}")
        call = {"function": name, "parameter": trigger["name"], "data": payload.data, "metadata": payload.metadata}
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(call) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        answer = self._answer()
        return Outcome(
            ok=answer["ok"],
            error=answer["error"],
            stack_trace=answer["stack_trace"],
            logs=tuple(answer["logs"]),
            http=_http_answer(answer["returned"]),
        )

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(self.timeout_s, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise self._gone()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _gone(self) -> WorkerError:
        assert self._process is not None
        code = self._process.wait()
        self._said.seek(0)
        return WorkerError(f"the worker ended with {code}; the last it said: {self._said.read()[-2000:]}")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.communicate(timeout=self.timeout_s)  # closes its stdin, on which it ends
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _http_answer(returned: dict[str, Any] | None) -> HttpAnswer | None:
    if returned is None or "http" not in returned:
        return None
    answer = returned["http"]
    return HttpAnswer(answer["status"], answer["headers"], base64.b64decode(answer["body"]["bytes"]))
