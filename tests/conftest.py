"""What every test may use."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.emulators.azurite import Azurite, missing, run_azurite

if TYPE_CHECKING:
    from shared.demo.station import Station
    from tests.contract.azure_queue import AzureQueue

# No test asks the clock, for machines may be busy; and a commit that passed passes again. New examples are looked for
# with `pytest --hypothesis-profile=explore`.
hypothesis.settings.register_profile("haro", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("haro")
ROOT = Path(__file__).resolve().parent.parent

_NOT_THE_TESTS = re.compile(
    r"HARO_.*|OTEL_.*|AZURE_.*|APPLICATIONINSIGHTS_.*|(AzureWebJobsStorage|ServiceBusConnection|CosmosConnection).*"
    r"|.*_PROXY|FORCE_COLOR|PY_COLORS|TTY_COMPATIBLE|GITHUB_ACTIONS",
    re.IGNORECASE,
)
"""Settings of the machine that would change what is tested: Haro's own, proxies, colours in what is printed."""
for _name in filter(_NOT_THE_TESTS.fullmatch, list(os.environ)):
    del os.environ[_name]  # now, before libraries read them; processes that tests start have none of them either


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options for what takes too long to do at every run."""
    parser.addoption("--every-write", action="store_true", help="kill the app at each of its writes (20 minutes)")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference recordings beside the checkout; a test that needs them is skipped, aloud, where there are none."""
    folder = ROOT.parent / "shared"
    if not (folder / "audio" / "segments").is_dir():
        pytest.skip("reference recordings are not beside this checkout (../shared/audio, ../shared/reference)")
    return folder


@pytest.fixture
def station() -> Iterator[Station]:
    """A server of streams on loopback that fails on demand."""
    from shared.demo.station import Station  # noqa: PLC0415 - few tests need it

    with Station() as server:
        yield server


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
