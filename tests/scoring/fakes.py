"""What the scoring stage works with, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shared.errors import HaroError
from shared.scoring.detector import Scores
from shared.scoring.model_file import ModelMetadata
from tests.scoring.tiny_model import tiny_metadata


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


class FakeDetector:
    """Gives the n-th window the n-th of its scores, and the last one to all others."""

    def __init__(self, scores: Sequence[float] = (0.1,), metadata: ModelMetadata | None = None) -> None:
        self.metadata = metadata or tiny_metadata()
        self.scores = scores

    def try_out(self) -> float:
        """The first score."""
        return self.scores[0]

    def score(self, mel_input: NDArray[np.float32]) -> Scores:
        """The scores in turn."""
        given_scores = [self.scores[min(i, len(self.scores) - 1)] for i in range(len(mel_input))]
        return Scores(np.array(given_scores, np.float32), np.zeros((len(mel_input), 4), np.float32))
