"""The SDK's way to the network, with trouble on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import HttpRequest, RequestsTransport

Chosen = Callable[[HttpRequest], bool]


def _none(_: HttpRequest) -> bool:
    return False


class Troubled(RequestsTransport):  # type: ignore[misc]  # azure.core loads it late, without a type
    """Keeps the requests, and loses some.

    `lose_request` picks requests that do not arrive, `lose_answer` those that do but whose answer is lost; `after` is
    called once an answer is there.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[HttpRequest] = []
        self.lose_request: Chosen = _none
        self.lose_answer: Chosen = _none
        self.after: Callable[[HttpRequest], None] = lambda _: None

    def send(self, request: Any, **kwargs: Any) -> Any:
        """See `RequestsTransport.send`."""
        self.requests.append(request)
        if self.lose_request(request):
            raise ServiceRequestError("the test lost the request")
        answer = super().send(request, **kwargs)
        if self.lose_answer(request):
            answer.internal_response.close()
            raise ServiceResponseError("the test lost the answer")
        self.after(request)
        return answer


def first(chosen: Chosen) -> Chosen:
    """The first of those chosen, and no other."""
    seen: list[HttpRequest] = []

    def is_first(request: HttpRequest) -> bool:
        if seen or not chosen(request):
            return False
        seen.append(request)
        return True

    return is_first
