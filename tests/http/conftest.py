"""The clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from shared.http import Http
from tests.http.client import LIMITS


@pytest.fixture
def http() -> Iterator[Http]:
    """A client that waits for whoever answers at all, and soon tries again."""
    with closing(Http(LIMITS)) as client:
        yield client


@pytest.fixture
def hasty() -> Iterator[Http]:
    """A client that soon takes silence for an answer that does not come."""
    with closing(Http(replace(LIMITS, read_timeout_s=0.5))) as client:
        yield client
