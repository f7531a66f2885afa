"""Files of torch.save, read without torch: both formats, and what does not belong in them."""

from __future__ import annotations

import io
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed for training only (requirements-train.txt)")
from torch import nn  # noqa: E402 - after the skip

from model.orcahello import torchfile  # noqa: E402
from model.orcahello.torchfile import read_torch  # noqa: E402
from shared.errors import ModelError  # noqa: E402
from tests.model.orcahello.conftest import torch_bytes  # noqa: E402
from tests.model.orcahello.files import write  # noqa: E402

both_formats = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


class Command:
    """An object that runs a shell command when it is loaded."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[Any, ...]:
        """What the loader calls."""
        return os.system, (self._command,)


def small_network() -> nn.Sequential:
    """Parameters, buffers and parts of parts."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4)), nn.Linear(4, 2).half())


def same(path: Path, expected: dict[str, Any]) -> None:
    """The file holds exactly these tensors."""
    found = read_torch(path)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].shape == tuple(tensor.shape)
        assert np.array_equal(found[name].numbers(), tensor.numpy())


@both_formats
def test_an_exported_learner_is_read_and_nothing_in_it_runs(tmp_path: Path, *, legacy: bool) -> None:
    """Of an object saved with its network under `model`, the network is read; a trap beside it stays shut."""
    network, marker = small_network(), tmp_path / "ran"
    learner = {"opt_func": torch.optim.Adam, "data": Command(f"touch '{marker}'"), "model": network, "wd": 0.01}
    path = write(tmp_path / "model.pkl", torch_bytes(learner, legacy=legacy))
    torch.load(path, weights_only=False)
    assert marker.exists()
    marker.unlink()

    same(path, network.state_dict())

    assert not marker.exists()


@both_formats
def test_a_state_dict_is_read(tmp_path: Path, *, legacy: bool) -> None:
    """So is what torch's own manual says to save."""
    state = small_network().state_dict()

    same(write(tmp_path / "w.pt", torch_bytes(state, legacy=legacy)), state)


@both_formats
def test_views_of_a_storage_are_read(tmp_path: Path, *, legacy: bool) -> None:
    """Transposed, cut and expanded tensors that share one storage have their own values."""
    whole = torch.arange(24.0).reshape(4, 6)
    views = OrderedDict(whole=whole, turned=whole.T, cut=whole[1:3, ::2], spread=whole[:1, :1].expand(3, 5))

    same(write(tmp_path / "v.pt", torch_bytes(views, legacy=legacy)), dict(views))


def test_an_archive_with_the_file_in_it_is_opened(tmp_path: Path) -> None:
    """The zip that the seed was published in need not be unpacked first; two files in one are told."""
    network = small_network()
    inner = torch_bytes({"model": network}, legacy=True)
    path = tmp_path / "seed.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/model.pkl", inner)
    same(path, network.state_dict())

    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/other.pkl", inner)
    with pytest.raises(ModelError, match="2 files that could be weights"):
        read_torch(path)


def numbers_in(path: Path) -> list[Any]:
    """Every tensor's values."""
    return [tensor.numbers() for tensor in read_torch(path).values()]


def archive_of(pickle: bytes, **storages: bytes) -> bytes:
    """A torch archive around a hand-made pickle."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle)
        for key, content in storages.items():
            archive.writestr(f"a/data/{key}", content)
    return target.getvalue()


def tensor_of(
    shape: bytes, stride: bytes, *, offset: bytes = b"K\0", kind: bytes = b"Float", key: bytes = b"k"
) -> bytes:
    """A pickle of one tensor `t`, whose shape and stride are pickles themselves."""
    storage = b"(X\x07\0\0\0storagectorch\n%sStorage\nX\x01\0\0\0%sX\x03\0\0\0cpuK\x04tQ" % (kind, key)
    return b"}X\x01\0\0\0tctorch._utils\n_rebuild_tensor_v2\n(%s%s%s%stRs." % (storage, offset, shape, stride)


FOUR = np.arange(4, dtype="<f4").tobytes()
BIG = b"\x8a\x06" + (2**40 - 1).to_bytes(6, "little")


@pytest.mark.parametrize(
    ("pickle", "told"),
    [
        (tensor_of(b"K\x05\x85", b"K\x01\x85"), "beyond its storage"),
        (tensor_of(b"K\x04\x85", b"K\x01\x85", offset=b"K\x01"), "beyond its storage"),
        (tensor_of(b"K\x02\x85", b"K\x04\x85"), "beyond its storage"),
        (tensor_of(BIG + b"\x85", b"K\0\x85"), "beyond its storage"),
        (tensor_of(b"K\x04\x85", b"J\xff\xff\xff\xff\x85"), "does not"),
        (tensor_of(b"K\x04\x85", b"K\x01K\x01\x86"), "does not"),
        (tensor_of(b"N", b"N"), "does not"),
        (tensor_of(b"K\x04\x85", b"K\x01\x85", key=b"q"), "'q' of the file cannot be read"),
        (tensor_of(b"K\x04\x85", b"K\x01\x85", kind=b"Quint"), "type Quint"),
        (b"}X\x01\0\0\0tctorch._utils\n_rebuild_tensor_v2\n)Rs.", "does not"),
        (b"}q\0X\x01\0\0\0ah\0s.", "nested more than 30 deep"),
        (b"}q\0(" + b"".join(b"X\x03\0\0\0%03dh\0" % i for i in range(900)) + b"u.", "nested|too many"),
    ],
)
def test_tensors_that_cannot_be_are_refused(tmp_path: Path, pickle: bytes, told: str) -> None:
    """Shapes, strides and offsets that leave their storage, unknown types, and objects that hold themselves."""
    path = write(tmp_path / "w.pt", archive_of(pickle, k=FOUR))

    with pytest.raises(ModelError, match=told):
        numbers_in(path)


def test_what_lies_in_its_storage_is_read(tmp_path: Path) -> None:
    """The hand-made tensor that the cases above are variations of is a good one."""
    path = write(tmp_path / "w.pt", archive_of(tensor_of(b"K\x02\x85", b"K\x02\x85", offset=b"K\x01"), k=FOUR))

    assert read_torch(path)["t"].numbers().tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    "content", [b"", b"x", b"PK\x03\x04 no archive", b"\x80\x02K\x01.", b"ONNX is no pickle", b"\x80\x02]."]
)
def test_other_files_are_told(tmp_path: Path, content: bytes) -> None:
    """Whatever else is given is a ModelError with the file's name."""
    with pytest.raises(ModelError, match=r"w\.pt: this is no file of torch\.save"):
        read_torch(write(tmp_path / "w.pt", content))


@both_formats
def test_files_cut_short_are_told(tmp_path: Path, *, legacy: bool) -> None:
    """A broken download never reads as weights."""
    content = torch_bytes(small_network().state_dict(), legacy=legacy)

    for length in range(0, len(content) - 1, 97):
        path = write(tmp_path / "w.pt", content[:length])
        with pytest.raises(ModelError):
            numbers_in(path)


@both_formats
def test_damaged_files_are_read_or_told(tmp_path: Path, *, legacy: bool) -> None:
    """Whatever bytes are changed, the file is read, or refused with a ModelError; never anything else."""
    content = torch_bytes(small_network().state_dict(), legacy=legacy)
    rng = np.random.default_rng(4)
    refused = 0

    for _ in range(300):
        damaged = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 6)):
            damaged[at] = rng.integers(0, 256)
        path = write(tmp_path / "w.pt", bytes(damaged))
        try:
            numbers_in(path)
        except ModelError:
            refused += 1

    assert refused > 100


def test_archives_from_the_future_are_told(tmp_path: Path) -> None:
    """What Python's zipfile cannot unpack is refused like any other broken file."""
    content = bytearray(archive_of(b"}."))
    content[content.index(b"PK\x01\x02") + 6] = 99

    with pytest.raises(ModelError, match=r"zip file version 9\.9"):
        read_torch(write(tmp_path / "w.pt", bytes(content)))


def test_archives_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is unpacked, the sizes the archive itself tells are added up."""
    monkeypatch.setattr(torchfile, "MAX_BYTES", 1_000_000)
    path = write(tmp_path / "bomb.pt", archive_of(b"}.", **{f"k{i}": bytes(100_000) for i in range(11)}))
    assert path.stat().st_size < 10_000

    with pytest.raises(ModelError, match="more than 1000000 bytes once unpacked"):
        read_torch(path)
