"""Spans: what was done about a batch, each in the trace that is derived from the batch's id."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shared.documents import trace_parent
from shared.errors import HaroError

SPANS = {
    "enqueue": "a batch is put on the queue",
    "score": "a batch is fetched, decoded and scored; the seconds of each step are in its attributes",
    "record": "a result becomes documents, and people to be told",
    "notify": "a message is sent: in the trace of its first detection's batch, with links to the others'",
}
"""Every span by name, and what it covers."""

Value = str | bool | int | float
Note = Callable[..., None]

_tracer = trace.get_tracer("haro")
_propagator = TraceContextTextMapPropagator()


@contextmanager
def span(name: str, batch_id: str | None, *, linked: Iterable[str] = (), **attributes: Value | None) -> Iterator[Note]:
    """A span in the trace of the batch, or in one of its own where there is no batch.

    Attributes get the prefix `haro.`; one that is None is left out. Yields a function that adds more of them. The span
    that surrounds this one, such as the function host's, and the batches in `linked` are linked to it. An error that
    passes through is noted by its type and, if it is Haro's own, its message: others' messages may hold secrets.
    """
    links = [Link(context) for context in (trace.get_current_span().get_span_context(), *map(_context, linked))]
    parent = _parent(batch_id) if batch_id else Context()
    with _tracer.start_as_current_span(
        name,
        context=parent,
        links=[link for link in links if link.context.is_valid],
        attributes=_named(batch_id=batch_id, **attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:

        def note(**more: Value | None) -> None:
            current.set_attributes(_named(**more))

        try:
            yield note
        except Exception as error:
            _note_error(current, error)
            raise


def told_of(error: BaseException) -> dict[str, str]:
    """An error as attributes (OpenTelemetry's `exception.*`), without what may be secret.

    The message of an error that is not Haro's own is left out; where it came from is kept instead, as lines of code.
    """
    kind = type(error)
    told = {"exception.type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")}
    if isinstance(error, HaroError):
        return told | {"exception.message": str(error)}
    return told | {"exception.stacktrace": "".join(traceback.format_tb(error.__traceback__))}


def _note_error(current: Span, error: Exception) -> None:
    told = told_of(error)
    current.set_attribute("error.type", told["exception.type"])
    current.add_event("exception", told)
    current.set_status(StatusCode.ERROR, told.get("exception.message", told["exception.type"]))


def _named(**attributes: Value | None) -> dict[str, Value]:
    return {f"haro.{name}": value for name, value in attributes.items() if value is not None}


def _parent(batch_id: str) -> Context:
    return _propagator.extract({"traceparent": trace_parent(batch_id)}, context=Context())


def _context(batch_id: str) -> SpanContext:
    return trace.get_current_span(_parent(batch_id)).get_span_context()
