"""Models kept beside the recordings: what each is, and which of them is in production."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from shared.documents.base import Document, Utc
from shared.errors import ModelError

BUNDLED = "bundled"
"""What people call the model that comes with Haro, where a model is to be named."""
POINTER_BLOB = "models/production.json"

_Part = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$", max_length=60)]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ModelRef(Document):
    """One version of one model, such as `haro-orca/1.1.0`: the folder of its blobs."""

    name: _Part
    version: _Part

    @model_validator(mode="after")
    def _leaves_the_pointer_alone(self) -> Self:
        if self.blob("").startswith(f"{POINTER_BLOB}/"):
            raise ValueError(f"no model can be called {self.name}: the pointer is")
        return self

    @classmethod
    def named(cls, text: str) -> ModelRef:
        """Read `name/version`. Raises ModelError."""
        name, _, version = text.partition("/")
        try:
            return ModelRef(name=name, version=version)
        except ValidationError as error:
            raise ModelError(
                f"{text[:200]!r} names no model: use name/version, each of lower-case letters, digits and -_ or single "
                "dots between them, such as haro-orca/1.1.0"
            ) from error

    def blob(self, file: str) -> str:
        """The name of the blob that holds one of its files."""
        return f"models/{self.name}/{self.version}/{file}"

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


class KnownModel(ModelRef):
    """A model whose bytes are known: by their hash."""

    sha256: _Sha256


class ModelEntry(KnownModel):
    """One version in the registry. It is written last, when model and card are there, and never changes."""

    size_bytes: int = Field(gt=0)
    added_by: str
    added_at: Utc

    @property
    def known(self) -> KnownModel:
        """The model without what is told of its adding, as the pointer names it."""
        return KnownModel(name=self.name, version=self.version, sha256=self.sha256)


class Production(Document):
    """The pointer to the model that is to score. Where it names none, and without one, that is the bundled one.

    `previous` is what it named before; a rollback goes there.
    """

    name: _Part | None
    version: _Part | None
    sha256: _Sha256 | None
    promoted_by: str
    promoted_at: Utc
    previous: KnownModel | None
    reason: str

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if len({value is None for value in (self.name, self.version, self.sha256)}) > 1:
            raise ValueError("name, version and sha256 must all be given, or all be null for the bundled model")
        _ = self.model  # raises what no model can be called
        return self

    @property
    def model(self) -> KnownModel | None:
        """The model it names; None for the bundled one."""
        if self.name is None or self.version is None or self.sha256 is None:
            return None
        return KnownModel(name=self.name, version=self.version, sha256=self.sha256)
