"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.emulators.azurite import Azurite, missing, run_azurite

if TYPE_CHECKING:
    from tests.contract.azure_queue import AzureQueue

hypothesis.settings.register_profile("haro", deadline=None)  # no test asks the clock: machines may be busy
hypothesis.settings.load_profile("haro")
ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for what takes too long to do at every run."""
    parser.addoption("--every-write", action="store_true", help="kill the app at each of its writes (20 minutes)")


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


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """The emulator of Blob Storage; a test that needs it is skipped, aloud, where it is not installed."""
    if reason := missing():
        pytest.skip(reason)
    with run_azurite() as azurite:
        yield azurite


@pytest.fixture(scope="session")
def service_bus() -> Iterator[AzureQueue]:
    """A Service Bus queue on the emulator, for all tests: links take long to open and close."""
    pytest.importorskip("proton", reason="python-qpid-proton, which the Service Bus emulator stands on, is missing")
    from tests.contract.azure_queue import azure_queue  # noqa: PLC0415 - needs proton

    with azure_queue() as queue:
        yield queue
