"""Stores for registries, and models to put there."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from shared.documents import KnownModel, ModelRef
from shared.registry.registry import Registry
from shared.storage.local.blobs import FolderBlobs
from shared.storage.ports import BlobStore
from tests.clock import FakeClock
from tests.contract.conftest import blobs
from tests.scoring.tiny_model import write_tiny_model

__all__ = ["blobs"]

Tiny = Callable[..., bytes]


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """The bytes of a tiny model: of a version, and of the level that scores 0.5."""

    def make(version: str = "1", level_db: float = 0.0) -> bytes:
        return write_tiny_model(tmp_path / "made.onnx", version=version, level_db=level_db).read_bytes()

    return make


@pytest.fixture
def folder(tmp_path: Path) -> BlobStore:
    """An empty store on this machine."""
    return FolderBlobs(tmp_path / "blobs", min_free_bytes=0)


@pytest.fixture
def registry(folder: BlobStore) -> Registry:
    """An empty registry on this machine."""
    return Registry(folder, now=FakeClock())


def fetched(registry: Registry, model: KnownModel) -> bytes:
    """The model's file."""
    target = BytesIO()
    registry.fetch(model, target)
    return target.getvalue()


def version(number: int | str) -> ModelRef:
    """A version of the tiny model."""
    return ModelRef(name="tiny", version=str(number))
