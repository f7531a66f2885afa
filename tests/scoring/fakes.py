"""What the scoring stage works with, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from shared.errors import BlobNotFound, HaroError, StorageFullError
from shared.scoring.detector import Scores
from shared.scoring.model_file import ModelMetadata
from shared.storage.ports import BlobInfo
from tests.scoring.tiny_model import tiny_metadata

_WRITTEN_UTC = datetime(2026, 3, 20, tzinfo=UTC)


class FakeSource:
    """A server with segments by number, which counts what it is asked for."""

    def __init__(self, answers: Mapping[int, bytes | HaroError]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def get(self, url: str, *, max_bytes: int) -> bytes:
        """The answer for this address."""
        self.asked.append(url)
        answer = self.answers[int(url.rsplit("live", 1)[1].removesuffix(".ts"))]
        if isinstance(answer, HaroError):
            raise answer
        return answer


@dataclass
class FakeBlobs:
    """Blobs in memory, in order of writing; `full` are prefixes there is no room for."""

    full: Sequence[str] = ()
    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, data: bytes, *, overwrite: bool = True, metadata: Mapping[str, str] | None = None) -> bool:
        """See `BlobStore.put`."""
        if name.startswith(tuple(self.full)):
            raise StorageFullError(f"{name}: no room left on the disk")
        if not overwrite and name in self.blobs:
            return False
        self.blobs[name] = data
        return True

    def get(self, name: str) -> bytes:
        """See `BlobStore.get`."""
        if name not in self.blobs:
            raise BlobNotFound(name)
        return self.blobs[name]

    def exists(self, name: str) -> bool:
        """See `BlobStore.exists`."""
        return name in self.blobs

    def delete(self, name: str) -> bool:
        """See `BlobStore.delete`."""
        return self.blobs.pop(name, None) is not None

    def list(self, prefix: str) -> Iterator[BlobInfo]:
        """See `BlobStore.list`."""
        for name in sorted(self.blobs):
            if name.startswith(prefix):
                yield BlobInfo(name, len(self.blobs[name]), _WRITTEN_UTC)

    def uri(self, name: str) -> str:
        """See `BlobStore.uri`."""
        return f"memory:{name}"

    def link(self, name: str, *, valid_s: float) -> str:
        """See `BlobStore.link`: its URI."""
        return self.uri(name)


class FakeDetector:
    """Gives the n-th window the n-th of its scores, and the last one to all others."""

    def __init__(self, scores: Sequence[float] = (0.1,), metadata: ModelMetadata | None = None) -> None:
        self.metadata = metadata or tiny_metadata()
        self.scores = scores

    def score(self, mel_input: NDArray[np.float32]) -> Scores:
        """The scores in turn."""
        given_scores = [self.scores[min(i, len(self.scores) - 1)] for i in range(len(mel_input))]
        return Scores(np.array(given_scores, np.float32), np.zeros((len(mel_input), 4), np.float32))
