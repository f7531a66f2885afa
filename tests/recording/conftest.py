"""What tests of recording may ask for."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from shared.storage.local.database import Database
from tests.crashing_documents import CrashingDocuments, quick_database


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that a program would write to its log at the lowest level: what reaches the root logger."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(1)
    yield stream
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def database() -> Iterator[Database]:
    """An empty database, for documents of a kind of the test's own."""
    with quick_database() as database:
        yield database


@pytest.fixture
def documents(database: Database) -> CrashingDocuments:
    """Empty documents."""
    return CrashingDocuments(database)
