"""What tests of several commands need: a station, recordings, and `haro models` on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from shared.bootstrap import open_house
from shared.settings import load_settings
from tests.pipeline import run_haro
from tests.registry.conftest import tried_here
from tests.scoring.tiny_model import write_tiny_model

__all__ = ["tried_here"]

RATE_HZ = 8000


def begin_station(data: Path) -> None:
    """Leave a station in a folder that has heard nothing yet."""
    with open_house(load_settings(data=data), hydrophones=[]):
        pass


class Models:
    """The command on one station."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str | Path, **env: str) -> tuple[int, str, str]:
        """Run `haro models …`; its texts, with the lines that tables were folded into joined."""
        code, out, err = run_haro("models", *arguments, "--data", self.folder / "data", env=env)
        return code, out, " ".join(err.split())

    def json(self, *arguments: str | Path) -> Any:
        """What it prints as JSON."""
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def add(self, number: int, level_db: float = 0.0) -> None:
        """Add a version of the tiny model."""
        card = self.folder / "card.md"
        card.write_text(f"# tiny {number}\nHears nothing well.\n", encoding="utf-8")
        file = write_tiny_model(self.folder / f"tiny-{number}.onnx", version=str(number), level_db=level_db)
        code, _, err = self("add", file, "--card", card, "--by", "ann")
        assert code == 0, err


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """See `Models`."""
    begin_station(tmp_path / "data")
    return Models(tmp_path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Four recordings, each louder than the one before."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    noise = np.random.default_rng(1).normal(0, 1, 5 * RATE_HZ)
    for number, level_db in enumerate((-60, -50, -40, -30)):
        samples = (noise * 10 ** (level_db / 20) * 32767).astype(np.int16)
        wavfile.write(folder / f"{number}.wav", RATE_HZ, samples)
    return folder
