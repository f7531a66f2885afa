"""What the tests of OrcaHello's export share: one random network, and its files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.model.orcahello.files import safetensors, write

if TYPE_CHECKING:
    from tests.model.orcahello.oracle import Network


@pytest.fixture(scope="session")
def network() -> Network:
    """The network in torch, with random weights; a test that needs it is skipped, aloud, where torch is not."""
    pytest.importorskip("torch", reason="torch is installed for training only (requirements-train.txt)")
    from tests.model.orcahello.oracle import random_network  # noqa: PLC0415 - needs torch

    return random_network()


@pytest.fixture(scope="session")
def published(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights as the hub has them."""
    arrays = {f"model.{name}": tensor.numpy() for name, tensor in network.state_dict().items()}
    return write(tmp_path_factory.mktemp("published") / "model.safetensors", safetensors(arrays))


def torch_bytes(value: Any, *, legacy: bool) -> bytes:
    """What torch.save writes."""
    import torch  # noqa: PLC0415 - only those who have it

    target = io.BytesIO()
    torch.save(value, target, _use_new_zipfile_serialization=not legacy)
    return target.getvalue()
