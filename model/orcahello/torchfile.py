"""The tensors of a file that `torch.save` wrote, without torch and without running anything in it.

Both formats: the zip archive (torch 1.6 and later: `data.pkl`, and the numbers in `data/KEY`), and the older stream
(five pickles, then the numbers of each storage). Source: `torch/serialization.py` of torch 2.13, `_legacy_save`
and `_save`. A tensor there is a call that would make it of a storage, an offset, a size and a stride; we read those.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.orcahello.inert import PERSISTENT, Inert, read_pickle
from model.orcahello.safetensors import MAX_BYTES, read_bounded
from model.orcahello.weights import Shape
from shared.errors import ModelError

_ZIP_MAGIC = b"PK\x03\x04"
_LEGACY_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_ITEM_BYTES = MappingProxyType(
    {
        "Double": 8,
        "Float": 4,
        "Half": 2,
        "BFloat16": 2,
        "Long": 8,
        "Int": 4,
        "Short": 2,
        "Char": 1,
        "Byte": 1,
        "Bool": 1,
    }
)
_NUMPY = MappingProxyType({"Double": "<f8", "Float": "<f4", "Half": "<f2", "Long": "<i8", "Int": "<i4"})
_REBUILT = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_MOST_MEMBERS, _MOST_OBJECTS, _DEEPEST, _LONGEST_NAME = 10_000, 100_000, 30, 200

# What zipfile raises for members that are damaged, encrypted or packed in a way it does not know.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)

ReadStorage = Callable[[str], bytes | memoryview]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as the file describes it; `numbers` looks them up."""

    shape: Shape
    stride: Shape
    offset: int
    kind: str
    key: str
    read: ReadStorage

    def numbers(self) -> NDArray[Any]:
        """The values, in the file's own type. Raises ModelError when they do not lie in the storage."""
        if self.kind not in _NUMPY:
            raise ModelError(f"a tensor of the file is of type {self.kind}, not one of {sorted(_NUMPY)}")
        try:
            storage = np.frombuffer(self.read(self.key), _NUMPY[self.kind])
        except (KeyError, ValueError) as error:
            raise ModelError(f"storage {self.key!r} of the file cannot be read: {error}") from error
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        if prod(self.shape) > storage.size or last >= storage.size:
            raise ModelError(f"a tensor of shape {self.shape} reaches beyond its storage of {storage.size} numbers")
        steps = [step * storage.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, steps, writeable=False)


def read_torch(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of the file at `path` that is reached by names, under those names, joined by dots.

    Names are keys of dictionaries, and those of a module's parameters, buffers and parts. Where the file is a saved
    object with its network under `model`, as fastai exports it, only that network's are given. A zip archive that holds
    one such file is opened. Raises ModelError saying what is wrong with the file.
    """
    try:
        tree, read = _open(read_bounded(path))
        return dict(_tensors(tree, read))
    except (ValueError, OverflowError, *_BROKEN) as error:
        raise ModelError(f"{path}: this is no file of torch.save that can be used: {error}. Fetch it again.") from error


def _open(data: bytes, *, packed: bool = True) -> tuple[Any, ReadStorage]:
    """What the file's pickle describes, and where its numbers are."""
    if not data.startswith(_ZIP_MAGIC):
        return _legacy(data)
    archive = zipfile.ZipFile(io.BytesIO(data))
    names = archive.namelist()
    if len(names) > _MOST_MEMBERS or sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
        raise ValueError(f"the archive holds {len(names)} members, or more than {MAX_BYTES} bytes once unpacked")
    roots = [name.removesuffix("data.pkl") for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(roots) == 1:
        (root,) = roots
        if f"{root}byteorder" in names and _member(archive, f"{root}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        tree = read_pickle(io.BytesIO(_member(archive, f"{root}data.pkl")))
        return tree, lambda key: _member(archive, f"{root}data/{key}")
    inner = [name for name in names if name.endswith((".pkl", ".pt", ".pth"))]
    if not packed or len(inner) != 1:
        raise ValueError(f"the archive holds {len(inner)} files that could be weights, not 1")
    return _open(_member(archive, inner[0]), packed=False)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One member's bytes; zipfile unpacks no more than the archive says they are, and that was checked."""
    try:
        return archive.read(name)
    except _BROKEN as error:
        raise ValueError(f"{name[:100]} in it is broken ({error})") from error


def _legacy(data: bytes) -> tuple[Any, ReadStorage]:
    file = io.BytesIO(data)
    if read_pickle(file) != _LEGACY_MAGIC or read_pickle(file) != _LEGACY_PROTOCOL:
        raise ValueError("it does not begin as torch.save begins a file")
    system = read_pickle(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("its numbers are not little-endian")
    tree = read_pickle(file)
    keys = read_pickle(file)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("it has no list of its storages")
    kinds = {key: kind for kind, key in _storages(tree)}
    storages: dict[str, memoryview] = {}
    at, view = file.tell(), memoryview(data)
    for key in keys:
        count = int.from_bytes(view[at : at + 8], "little")
        size = count * _ITEM_BYTES.get(kinds.get(key, ""), 0)
        if not size or at + 8 + size > len(data):
            raise ValueError(f"storage {key!r} of {count} numbers is cut short, or of a type that we do not know")
        storages[key], at = view[at + 8 : at + 8 + size], at + 8 + size
    return tree, storages.__getitem__


def _storages(tree: Any) -> Iterator[tuple[str, str]]:
    """Type and key of every storage that is named anywhere in the tree."""
    for value in _everything(tree):
        if isinstance(value, Inert) and (named := _storage(value)):
            yield named


def _storage(value: Any) -> tuple[str, str] | None:
    """Type and key of the storage that a persistent id names; None when it names something else."""
    args = value.args if isinstance(value, Inert) and value.name == PERSISTENT else ()
    if not isinstance(args, tuple) or len(args) < 5 or args[0] != "storage":
        return None
    kind, key, view = args[1], args[2], args[5] if len(args) > 5 else None
    if not isinstance(kind, Inert) or not isinstance(key, str) or view is not None:
        raise ValueError("it describes a storage in a way that torch.save does not, or no longer does")
    return kind.name.rpartition(".")[2].removesuffix("Storage"), key


def _everything(tree: Any) -> Iterator[Any]:
    """Every value in the tree, each once, without recursion."""
    seen: set[int] = set()
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if id(value) in seen or not isinstance(value, dict | list | tuple | Inert):
            continue
        seen.add(id(value))
        yield value
        if isinstance(value, Inert):
            waiting += [value.args, value.state, value.entries]
        else:
            waiting += value.values() if isinstance(value, dict) else value


def _tensors(tree: Any, read: ReadStorage) -> Iterator[tuple[str, StoredTensor]]:
    """Names and tensors, parts of parts after one another; bounded, for a pickle may hold itself."""
    entries = _mapping(tree)
    waiting = [("", 0, entries["model"] if isinstance(entries.get("model"), Inert) else tree)]
    for _ in range(_MOST_OBJECTS):
        if not waiting:
            return
        prefix, depth, value = waiting.pop()
        tensor = _tensor(value, read)
        if tensor is not None:
            yield prefix.removesuffix("."), tensor
            continue
        parts = _mapping(value)
        if depth >= _DEEPEST and parts:
            raise ValueError(f"it is nested more than {_DEEPEST} deep at {prefix[:100]}")
        if len(prefix) > _LONGEST_NAME or len(parts) + len(waiting) > _MOST_OBJECTS:
            raise ValueError(f"it has too many names, or too long ones, at {prefix[:100]}")
        waiting += [(f"{prefix}{name[:_LONGEST_NAME]}.", depth + 1, part) for name, part in reversed(parts.items())]
    raise ValueError(f"it holds more than {_MOST_OBJECTS} objects")


def _mapping(value: Any) -> dict[str, Any]:
    """What is in a dictionary, an ordered one, or a module, by name."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, Inert):
        return {}
    if not isinstance(value.state, dict) or "_modules" not in value.state:
        return value.entries
    return {
        name: part
        for group in ("_parameters", "_buffers", "_modules")
        for name, part in _mapping(value.state.get(group)).items()
    }


def _tensor(value: Any, read: ReadStorage) -> StoredTensor | None:
    if isinstance(value, Inert) and value.name == "torch._utils._rebuild_parameter":
        value = value.args[0] if isinstance(value.args, tuple) and value.args else None
    if not isinstance(value, Inert) or value.name not in _REBUILT:
        return None
    args = value.args if isinstance(value.args, tuple) and len(value.args) >= 4 else (None,) * 4
    storage, offset, shape, stride = args[:4]
    named = _storage(storage)
    if named is None or not _sizes((offset,)) or not _sizes(shape) or not _sizes(stride) or len(shape) != len(stride):
        raise ValueError("it describes a tensor in a way that torch.save does not")
    return StoredTensor(shape, stride, offset, *named, read)


def _sizes(values: Any) -> bool:
    return isinstance(values, tuple) and len(values) <= 8 and all(type(v) is int and 0 <= v < 2**40 for v in values)
