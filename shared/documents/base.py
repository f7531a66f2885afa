"""What all documents have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from shared.errors import MessageError, wrong_fields


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:  # the first and the last hours that a datetime can hold
        raise ValueError("is no time that can be told in UTC") from error


Utc = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class Document(BaseModel):
    """Base of all documents: immutable, and tolerant of fields that a newer version added."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), allow_inf_nan=False)

    def to_json(self) -> dict[str, Any]:
        """The document as JSON-ready values."""
        return self.model_dump(mode="json")

    @classmethod
    def parse(cls, text: str | bytes, *, source: str) -> Self:
        """Read the document from JSON text. Raises MessageError naming `source` and every wrong field."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = "; ".join(f"{field or 'document'}: {reason}" for field, reason in wrong_fields(error))
            raise MessageError(f"{source} is not a valid {cls.__name__}: {wrong}") from error
