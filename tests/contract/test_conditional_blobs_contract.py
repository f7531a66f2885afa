"""What every blob store must do where a read or a write depends on what is there."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.errors import BlobNotFound, ConflictError
from shared.storage.ports import BlobStore
from tests.contract.clip_blobs import NAME


def test_put_without_overwrite_leaves_what_is_there(blobs: BlobStore) -> None:
    """A conditional put writes where nothing is, and else changes nothing and says so."""
    assert blobs.put(NAME, b"first", overwrite=False)
    assert not blobs.put(NAME, b"second", overwrite=False)
    assert blobs.get(NAME) == b"first"
    blobs.delete(NAME)
    assert blobs.put(NAME, b"third", overwrite=False)


def test_one_of_many_creators_wins(blobs: BlobStore) -> None:
    """Of writers that create one blob at once exactly one is told that it did, and its bytes are there."""
    for round_ in range(5):
        name = f"results/race/{round_}.json"
        barrier = threading.Barrier(4)

        def create(n: int, name: str = name, barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return blobs.put(name, b"%d" % n, overwrite=False)

        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(create, range(4)))
        assert won.count(True) == 1
        assert blobs.get(name) == b"%d" % won.index(True)


def test_a_blob_is_read_again_only_when_it_changed(blobs: BlobStore) -> None:
    """Asked with the etag of what was read there is no answer, until somebody writes other bytes."""
    with pytest.raises(BlobNotFound):
        blobs.get_if_changed(NAME, etag=None)
    blobs.put(NAME, b"first")
    first = blobs.get_if_changed(NAME, etag=None)
    assert first is not None
    assert first.data == b"first"
    assert blobs.get_if_changed(NAME, etag=first.etag) is None

    blobs.put(NAME, b"second")
    second = blobs.get_if_changed(NAME, etag=first.etag)
    assert second is not None
    assert second.data == b"second"
    assert blobs.get_if_changed(NAME, etag=second.etag) is None
    blobs.delete(NAME)
    with pytest.raises(BlobNotFound):
        blobs.get_if_changed(NAME, etag=second.etag)


def test_a_blob_is_replaced_by_who_read_it_last(blobs: BlobStore) -> None:
    """Only who holds the etag of what is there replaces it; nobody replaces what is not there."""
    blobs.put(NAME, b"first")
    first = blobs.get_if_changed(NAME, etag=None)
    assert first is not None
    etag = blobs.replace(NAME, b"second", etag=first.etag)
    assert blobs.get_if_changed(NAME, etag=etag) is None
    with pytest.raises(ConflictError):
        blobs.replace(NAME, b"third", etag=first.etag)
    assert blobs.get(NAME) == b"second"

    blobs.delete(NAME)
    with pytest.raises(ConflictError):
        blobs.replace(NAME, b"third", etag=etag)
    assert not blobs.exists(NAME)


def test_of_many_who_replace_one_wins(blobs: BlobStore) -> None:
    """Of several who read the same and replace it at once exactly one does."""
    blobs.put(NAME, b"first")
    first = blobs.get_if_changed(NAME, etag=None)
    assert first is not None
    start = threading.Barrier(4)

    def race(number: int) -> bytes | None:
        data = b"by %d" % number
        start.wait()
        try:
            blobs.replace(NAME, data, etag=first.etag)
        except ConflictError:
            return None
        return data

    with ThreadPoolExecutor(4) as pool:
        (winner,) = filter(None, pool.map(race, range(4)))
    assert blobs.get(NAME) == winner
