"""Runs inside .venv/engine: Microsoft's engine for Python functions, driven by JSON lines instead of gRPC.

The first line on stdout lists the functions of the app (or says why there are none); then each line on stdin is a call,
and each line on stdout its outcome. Whatever the app prints goes to stderr. One app per process: the engine and the
SDK remember what they have indexed.

    python -P tests/engine/worker.py FOLDER_OF_THE_APP

The engine takes its messages from whoever starts it, so plain objects stand in for the host's protobuf messages
(azure-functions-language-worker-protobuf, FunctionRpc.proto). Cookies are not among them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import sys
import uuid
from types import SimpleNamespace
from typing import Any

import azure_functions_runtime as engine  # type: ignore[import-not-found]  # it is in .venv/engine only

_MESSAGES = (
    "FunctionMetadataResponse",
    "InvocationResponse",
    "RpcException",
    "RpcFunctionMetadata",
    "RpcHttp",
    "RpcRetryOptions",
    "WorkerInitResponse",
    "WorkerMetadata",
)


class Message:
    """A message of the protocol: its fields as given, and None for any other, as protobuf has defaults."""

    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return None


class TypedData(Message):
    """A value; the name of its one field is its kind. The engine finds out the kind by asking and failing."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - protobuf's name
        """The kind of the value; None when there is none."""
        return next(iter(vars(self)), None)


class ParameterBinding(Message):
    """A named value for a parameter."""

    def WhichOneof(self, group: str) -> str:  # noqa: N802 - protobuf's name
        """Always plain data: shared memory is not used."""
        return "data"


class StatusResult(Message):
    """How a request ended, with the protocol's numbers."""

    Failure, Success, Cancelled = 0, 1, 2


PROTOCOL = SimpleNamespace(
    TypedData=TypedData,
    ParameterBinding=ParameterBinding,
    StatusResult=StatusResult,
    # "in" is a keyword, so a class statement cannot hold it; the numbers are the protocol's
    BindingInfo=type("BindingInfo", (Message,), {"in": 0, "out": 1, "inout": 2, "undefined": 0}),
    **{name: type(name, (Message,), {}) for name in _MESSAGES},
)


class Logs(logging.Handler):
    """What was logged since it was last taken."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        self.lines.append(self.format(record))

    def take(self) -> list[str]:
        """What was logged, once."""
        lines, self.lines = self.lines, []
        return lines


class IndexingError(Exception):
    """The engine does not take the app."""


class Worker:
    """One app in the engine."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    async def index(self, folder: str) -> list[dict[str, Any]]:
        """The functions of the app in a folder, with their bindings. Raises IndexingError."""
        sys.path.insert(0, folder)
        engine.start_threadpool_executor()
        request = Message(capabilities={}, function_app_directory=folder)
        response = await engine.worker_init_request(_request(worker_init_request=request))
        if response.result.status != StatusResult.Success:
            raise IndexingError(response.result.exception.message)
        found = (await engine.functions_metadata_request(_request())).function_metadata_results
        if not found:
            raise IndexingError(f"there are no functions in {folder}")
        self._ids = {function.name: function.function_id for function in found}
        return [
            {"name": function.name, "bindings": [json.loads(binding) for binding in function.raw_bindings]}
            for function in found
        ]

    async def invoke(self, call: dict[str, Any]) -> dict[str, Any]:
        """Call one function, and tell how it ended."""
        request = Message(
            invocation_id=str(uuid.uuid4()),
            function_id=self._ids[call["function"]],
            input_data=[ParameterBinding(name=call["parameter"], data=_typed(call["data"]))],
            trigger_metadata={name: _typed(data) for name, data in call["metadata"].items()},
            trace_context=Message(trace_parent="", trace_state="", attributes={}),
            retry_context=Message(retry_count=0, max_retry_count=0),
        )
        response = await engine.invocation_request(_request(invocation_request=request))
        failure = response.result.exception
        return {
            "ok": response.result.status == StatusResult.Success,
            "error": failure.message if failure else "",
            "stack_trace": failure.stack_trace if failure else "",
            "returned": _plain(response.return_value),
            "outputs": {output.name: _plain(output.data) for output in response.output_data or ()},
        }


def _request(**fields: object) -> SimpleNamespace:
    return SimpleNamespace(request=Message(**fields), properties={"protos": PROTOCOL, "host": "127.0.0.1"})


def _typed(data: dict[str, Any]) -> TypedData:
    """A value from its JSON form: {kind: value}, bytes in base64."""
    ((kind, value),) = data.items()
    if kind == "bytes":
        value = base64.b64decode(value)
    elif kind == "http":
        value = Message(**value | {"body": _typed(value["body"])})
    return TypedData(**{kind: value})


def _plain(data: TypedData | None) -> dict[str, Any] | None:
    """The JSON form of a value."""
    if data is None:
        return None
    ((kind, value),) = vars(data).items()
    if kind == "bytes":
        value = base64.b64encode(value).decode()
    elif kind == "http":
        value = {"status": int(value.status_code), "headers": value.headers, "body": _plain(value.body)}
    return {kind: value}


async def _serve(folder: str) -> None:
    calls, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    logs = Logs()
    logging.basicConfig(level=logging.INFO, handlers=[logs])  # the real worker's level

    def answer(what: dict[str, Any]) -> None:
        print(json.dumps(what | {"logs": logs.take()}), file=answers, flush=True)

    worker = Worker()
    try:
        answer({"functions": await worker.index(folder)})
    except IndexingError as error:
        answer({"refused": str(error)})
    for line in calls:
        answer(await worker.invoke(json.loads(line)))
    engine.stop_threadpool_executor()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
