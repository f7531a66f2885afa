"""What serves models, on a registry with some in it, while time moves by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from shared.documents import ModelRef
from shared.registry.registry import Registry
from shared.registry.served import ServedModel
from shared.registry.trial import admit
from shared.scoring.detector import Detector
from shared.storage.ports import BlobStore

LOOK_EVERY_S = 60.0


@dataclass
class ServedDesk:
    """A registry with versions 1 and 2, a bundled model of version 0, and what serves them; time moves by hand."""

    blobs: BlobStore
    registry: Registry
    bundled: Callable[[], Detector]
    time_s: float = 0.0
    admitted: list[str] = field(default_factory=list)

    def serve(self, pinned: ModelRef | None = None) -> ServedModel:
        """A new process's model."""

        def count(fetch: Callable[[BinaryIO], None], ref: ModelRef) -> Detector:
            self.admitted.append(str(ref))
            return admit(fetch, ref, threads=1, batch_size=2)

        return ServedModel(
            self.bundled, self.registry, count, pinned=pinned, look_every_s=LOOK_EVERY_S, clock=lambda: self.time_s
        )

    def promote(self, number: int | str) -> None:
        """Put a version in production."""
        self.registry.promote(ModelRef(name="tiny", version=str(number)), by="ann", reason="test")

    def after_a_while(self, model: ServedModel) -> str:
        """The version that scores once it is time to look."""
        self.time_s += LOOK_EVERY_S
        return serving(model)


def serving(model: ServedModel) -> str:
    """The version that scores."""
    return model().metadata.version
