"""Stores for registries, and models to put there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest

from shared.documents import KnownModel, ModelRef
from shared.errors import ModelError
from shared.registry.registry import Registry
from shared.registry.trial import Limits, _try
from shared.scoring.detector import Detector
from shared.scoring.model_file import ModelMetadata
from shared.storage.local.blobs import FolderBlobs
from shared.storage.ports import BlobStore
from tests.clock import FakeClock
from tests.contract.conftest import blobs
from tests.registry.served_desk import ServedDesk
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


@pytest.fixture
def desk(folder: BlobStore, registry: Registry, tiny: Tiny, tmp_path: Path) -> ServedDesk:
    """See `ServedDesk`."""
    for number in "12":
        registry.add(tiny(number), f"# tiny {number}", ref=version(number), by="ann")
    bundled = write_tiny_model(tmp_path / "bundled.onnx", version="0")
    return ServedDesk(folder, registry, partial(Detector.load, bundled))


@pytest.fixture
def tried_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are tried in this process, by the same work: for tests of what comes before and after that."""

    def try_here(path: Path, threads: int, batch_size: int, limits: Limits) -> ModelMetadata:
        answer = _try(path, threads, batch_size)
        if "refused" in answer:
            raise ModelError(str(answer["refused"]))
        return ModelMetadata.model_validate(answer)

    monkeypatch.setattr("shared.registry.trial._try_out", try_here)


def fetched(registry: Registry, model: KnownModel) -> bytes:
    """The model's file."""
    target = BytesIO()
    registry.fetch(model, target)
    return target.getvalue()


def version(number: int | str) -> ModelRef:
    """A version of the tiny model."""
    return ModelRef(name="tiny", version=str(number))
