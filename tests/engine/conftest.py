"""What the tests of the engine share."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

_PYTHON = ROOT / ".venv" / "engine" / "bin" / "python"


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The Python that has Microsoft's engine; a test that needs it is skipped, aloud, where it is not installed."""
    if not _PYTHON.exists():
        pytest.skip("the functions engine is not installed (it needs Python 3.13): `make .venv/installed-engine`")
    found = subprocess.run(
        [_PYTHON, "-c", "import azure_functions_runtime"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"the functions engine is broken: `make -B .venv/installed-engine`: {found.stderr.strip()[-200:]}")
    return _PYTHON
