"""The answer no request wants."""

from __future__ import annotations


class CosmosError(Exception):
    """A refusal, with the status and substatus that the real service gives, and its words where they matter."""

    def __init__(self, status: int, message: str, *, substatus: int = 0, extra: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.substatus = substatus
        self.extra = extra or {}


def bad_request(message: str, *, substatus: int = 0) -> CosmosError:
    """400."""
    return CosmosError(400, message, substatus=substatus)


def not_found(what: str, *, substatus: int = 0) -> CosmosError:
    """404; substatus 1003 when it is the container, or its database, that is not there."""
    return CosmosError(404, f"{what} does not exist in the system.", substatus=substatus)


def conflict(what: str) -> CosmosError:
    """409."""
    return CosmosError(409, f"{what} with the specified id already exists in the system.")


def precondition_failed() -> CosmosError:
    """412."""
    return CosmosError(412, "Operation cannot be performed because one of the specified precondition is not met.")
