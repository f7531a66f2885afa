"""What one process measures is what the figures say: a clip in which nothing is heard."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest

from bench.measuring import measure
from bench.recording import write_clip
from shared.errors import HaroError
from tests.scoring.tiny_model import write_tiny_model


def test_a_model_that_hears_a_call_in_the_clip_is_not_measured(tmp_path: Path) -> None:
    """A detection's picture would be in every figure: that is an error, and no figure."""
    write_clip(tmp_path, segments=1)
    hears_everything = write_tiny_model(tmp_path / "tiny.onnx", level_db=-200.0)

    with pytest.raises(HaroError, match="hears a call in the bench's clip"):
        measure(str(hears_everything), str(tmp_path), monotonic(), 0.0, picture=False, clock=monotonic)
