"""What the tests of ingest use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ingest.desk import Desk, open_desk


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A fresh desk."""
    with open_desk() as opened:
        yield opened
