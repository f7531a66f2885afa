"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the machine it runs on."""
    for name in list(os.environ):
        if name.upper().startswith("HARO_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference recordings beside the checkout; a test that needs them is skipped, aloud, where there are none."""
    folder = ROOT.parent / "shared"
    if not (folder / "audio" / "segments").is_dir():
        pytest.skip("reference recordings are not beside this checkout (../shared/audio, ../shared/reference)")
    return folder
