"""What is added stays as it was, and of several who promote at once one does: in every blob store."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.documents import POINTER_BLOB, ModelRef, Production
from shared.errors import ConflictError, ModelError, StorageError
from shared.registry.registry import Registry
from shared.storage.ports import Blob, BlobStore
from tests.clock import FakeClock
from tests.registry.conftest import fetched, version


@pytest.fixture
def registry(blobs: BlobStore) -> Registry:
    """An empty registry in each store."""
    return Registry(blobs, now=FakeClock())


def add(registry: Registry, number: int, data: bytes = b"model") -> None:
    """Add a version of the tiny model: a registry does not look into files."""
    registry.add(data + b"%d" % number, f"# tiny {number}", ref=version(number), by="ann")


def half_a_pointer(name: str | None) -> str:
    """A pointer that names no model, by this name."""
    rest = {"sha256": "0" * 64, "promoted_by": "ann", "promoted_at": "2026-01-01T00:00:00Z", "reason": ""}
    return json.dumps({"name": name, "version": "1", "previous": None} | rest)


def named(pointer: Production | None) -> str | None:
    """The model a pointer names."""
    return str(pointer.model) if pointer and pointer.model else None


def test_what_was_added_is_there(registry: Registry) -> None:
    """File, card and entry come back; the file is checked by the hash that the entry holds."""
    assert registry.entries() == []
    add(registry, 1)
    add(registry, 2)
    first, second = registry.entries()
    assert (first.version, second.version, first.added_by, first.size_bytes) == ("1", "2", "ann", 6)
    assert registry.entry(version(2)) == second
    assert registry.card(version(2)) == "# tiny 2"
    assert fetched(registry, second) == b"model2"


def test_a_version_never_changes(registry: Registry) -> None:
    """Added again, a version keeps all but its card; other content under the same version is refused."""
    add(registry, 1)
    entry = registry.entry(version(1))
    assert registry.add(b"model1", "# better words", ref=version(1), by="bob") == entry
    assert registry.card(version(1)) == "# better words"
    with pytest.raises(ModelError, match="tiny/1 is in the registry with other content"):
        registry.add(b"other", "# tiny", ref=version(1), by="bob")
    assert fetched(registry, entry) == b"model1"


def test_a_version_never_changes_where_its_file_is_gone(registry: Registry, blobs: BlobStore) -> None:
    """Other content does not get the place of a lost file; the right file does."""
    add(registry, 1)
    blobs.delete(version(1).blob("model.onnx"))
    with pytest.raises(ModelError, match="tiny/1 is in the registry with other content"):
        registry.add(b"other", "# tiny", ref=version(1), by="bob")
    entry = registry.add(b"model1", "# tiny", ref=version(1), by="bob")
    assert (entry.added_by, fetched(registry, entry)) == ("ann", b"model1")


def test_half_an_addition_is_none(registry: Registry, blobs: BlobStore) -> None:
    """A file whose entry was never written is not listed nor promoted; the same addition again completes it."""
    blobs.put(version(1).blob("model.onnx"), b"model1")
    assert registry.entries() == []
    with pytest.raises(ModelError, match="no model tiny/1"):
        registry.promote(version(1), by="ann", reason="")
    add(registry, 1)
    assert named(registry.promote(version(1), by="ann", reason="")) == "tiny/1"


def test_promote_and_roll_back(registry: Registry) -> None:
    """The pointer names who, when, why and what was before; a rollback goes there, and a second one undoes it."""
    add(registry, 1)
    add(registry, 2)
    assert registry.production() is None
    first = registry.promote(version(1), by="ann", reason="first")
    assert (named(first), first.previous, first.promoted_by, first.reason) == ("tiny/1", None, "ann", "first")
    second = registry.promote(version(2), by="bob", reason="fewer ships")
    assert (named(second), str(second.previous)) == ("tiny/2", "tiny/1")
    assert registry.production() == second

    back = registry.rollback(by="ann", reason="missed a call")
    assert (named(back), str(back.previous), back.promoted_by) == ("tiny/1", "tiny/2", "ann")
    assert named(registry.rollback(by="ann", reason="no, it had not")) == "tiny/2"


def test_back_to_the_bundled_model(registry: Registry) -> None:
    """The first promotion is rolled back to the bundled model, which can be promoted as well."""
    add(registry, 1)
    registry.promote(version(1), by="ann", reason="")
    back = registry.rollback(by="ann", reason="")
    assert (back.model, str(back.previous)) == (None, "tiny/1")
    registry.promote(version(1), by="ann", reason="")
    assert registry.promote(None, by="ann", reason="").model is None
    with pytest.raises(ModelError, match="bundled is in production already"):
        registry.promote(None, by="ann", reason="")


def test_nothing_to_go_back_to(registry: Registry) -> None:
    """Where nothing was promoted, or that model is the one already, it is said."""
    add(registry, 1)
    with pytest.raises(ModelError, match="nothing was ever promoted"):
        registry.rollback(by="ann", reason="")
    registry.promote(version(1), by="ann", reason="")
    with pytest.raises(ModelError, match="tiny/1 is in production already"):
        registry.promote(version(1), by="ann", reason="")


def test_a_file_that_was_changed_is_not_promoted(registry: Registry, blobs: BlobStore) -> None:
    """A file that is not what was added is neither promoted nor gone back to, and production stays."""
    for number in (1, 2, 3):
        add(registry, number)
    registry.promote(version(1), by="ann", reason="")
    registry.promote(version(2), by="ann", reason="")
    for number in (1, 3):
        blobs.put(version(number).blob("model.onnx"), b"changed")
    with pytest.raises(ModelError, match="model tiny/3 is not the one that was added: its SHA-256"):
        registry.promote(version(3), by="ann", reason="")
    with pytest.raises(ModelError, match="model tiny/1 is not the one"):
        registry.rollback(by="ann", reason="")
    blobs.delete(version(3).blob("model.onnx"))
    with pytest.raises(ModelError, match="model tiny/3 is gone"):
        registry.promote(version(3), by="ann", reason="")
    assert named(registry.production()) == "tiny/2"


def test_one_of_many_promoters_wins(registry: Registry, blobs: BlobStore) -> None:
    """Of several who promote at the same moment one does, and the others are told; the pointer is one of theirs."""
    for number in range(4):
        add(registry, number)
    registry.promote(version(0), by="ann", reason="")
    everyone_has_read = threading.Barrier(3)

    class Reader(Registry):
        def _read_pointer(self) -> Blob | None:
            read = super()._read_pointer()
            if self._first:
                self._first = False
                everyone_has_read.wait()
            return read

        _first = True

    def race(number: int) -> int | None:
        try:
            Reader(blobs, now=FakeClock()).promote(version(number), by=str(number), reason="")
        except ConflictError:
            return None
        return number

    with ThreadPoolExecutor(3) as pool:
        (winner,) = filter(None, pool.map(race, (1, 2, 3)))
    production = registry.production()
    assert production is not None
    assert (named(production), str(production.previous)) == (f"tiny/{winner}", "tiny/0")


def test_the_first_promotion_is_one_as_well(registry: Registry, blobs: BlobStore) -> None:
    """Who promotes where somebody else did so a moment ago, for the first time, is told."""
    add(registry, 1)
    add(registry, 2)

    class Late(Registry):
        def _read_pointer(self) -> Blob | None:
            read = super()._read_pointer()
            if read is None:
                registry.promote(version(1), by="ann", reason="")
            return read

    with pytest.raises(ConflictError, match="somebody else promoted"):
        Late(blobs, now=FakeClock()).promote(version(2), by="bob", reason="")
    assert named(registry.production()) == "tiny/1"


@pytest.mark.parametrize("text", ["", "{}", "no json", half_a_pointer(None), half_a_pointer("production.json")])
def test_a_broken_pointer(registry: Registry, blobs: BlobStore, text: str) -> None:
    """A pointer that says nothing is an error which tells the cure, and a promotion is the cure."""
    add(registry, 1)
    blobs.put(POINTER_BLOB, text.encode())
    with pytest.raises(ModelError, match=r"production.json.*promote a model"):
        registry.production()
    assert named(registry.promote(version(1), by="ann", reason="")) == "tiny/1"
    assert named(registry.production()) == "tiny/1"


def test_a_broken_entry_is_told(registry: Registry, blobs: BlobStore) -> None:
    """An entry that cannot be read is named."""
    blobs.put(version(1).blob("entry.json"), b"{")
    with pytest.raises(ModelError, match=r"models/tiny/1/entry\.json"):
        registry.entries()


@pytest.mark.parametrize(
    "text", ["tiny", "tiny/1/2", "Tiny/1", "../x", "tiny/..", "tiny/", "/1", "production.json/1", "a b/1"]
)
def test_what_names_no_model(text: str) -> None:
    """A name that could not be a folder of blobs, or would cover the pointer, is refused."""
    with pytest.raises(ModelError, match="names no model"):
        ModelRef.named(text)


def test_the_store_says_so_when_it_fails(registry: Registry, blobs: BlobStore) -> None:
    """What the store cannot do is its own error, not a missing model."""

    def fail(name: str, *, etag: str | None) -> None:
        raise StorageError("no answer")

    blobs.get_if_changed = fail  # type: ignore[method-assign]  # a store that is down
    with pytest.raises(StorageError, match="no answer"):
        registry.production()
