"""What every blob store must do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest

from shared.errors import BlobNotFound
from shared.storage.ports import BlobStore
from tests.contract.clip_blobs import NAME, listed


@pytest.mark.parametrize("data", [b"", b"{}", bytes(range(256)) * 5000])
def test_reads_what_was_written(blobs: BlobStore, data: bytes) -> None:
    """A blob comes back byte for byte, the empty one too."""
    assert blobs.put(NAME, data)
    assert blobs.get(NAME) == data
    assert blobs.exists(NAME)


def test_absent_blobs(blobs: BlobStore) -> None:
    """What is not there is said to be so; neither a folder's name nor one below a blob is a blob."""
    blobs.put(NAME, b"x")
    for name in ("clips/nothing", "clips/rpi_bush_point", NAME + "/below"):
        assert not blobs.exists(name)
        assert not blobs.delete(name)
        with pytest.raises(BlobNotFound, match=name):
            blobs.get(name)
    assert blobs.get(NAME) == b"x"


def test_put_overwrites(blobs: BlobStore) -> None:
    """A second put replaces the first wholly, also with fewer bytes."""
    blobs.put(NAME, b"long long long")
    assert blobs.put(NAME, b"short")
    assert blobs.get(NAME) == b"short"


def test_a_blob_is_seen_wholly_or_not_at_all(blobs: BlobStore) -> None:
    """A reader beside two writers sees nothing, the one or the other, and never a part, a mixture or a third size."""
    whole = (b"a" * 300_000, b"b" * 200_000)
    done = threading.Event()

    def write(data: bytes) -> None:
        for _ in range(15):
            blobs.put(NAME, data)

    def read() -> tuple[set[bytes], set[int]]:
        seen: set[bytes] = set()
        sizes: set[int] = set()
        while not done.is_set():
            sizes.update(info.size_bytes for info in blobs.list("clips/"))
            with suppress(BlobNotFound):
                seen.add(blobs.get(NAME))
        return seen, sizes

    with ThreadPoolExecutor(3) as pool:
        reader = pool.submit(read)
        list(pool.map(write, whole))
        done.set()
        seen, sizes = reader.result()
    assert seen <= set(whole)
    assert sizes <= {len(data) for data in whole}
    assert blobs.get(NAME) in whole


def test_delete(blobs: BlobStore) -> None:
    """Delete says whether there was something, and leaves the neighbours."""
    blobs.put("clips/a/1.flac", b"1")
    blobs.put("clips/a/2.flac", b"2")
    assert blobs.delete("clips/a/1.flac")
    assert not blobs.delete("clips/a/1.flac")
    assert listed(blobs, "") == ["clips/a/2.flac"]


def test_writers_and_deleters_at_once(blobs: BlobStore) -> None:
    """Writing works beside one who deletes the neighbours, even as a folder becomes empty and is filled again."""

    def write_and_delete(worker: int) -> None:
        for n in range(30):
            name = f"clips/deep/er/{worker}-{n}"
            assert blobs.put(name, b"x", overwrite=bool(n % 2))
            assert blobs.get(name) == b"x"
            assert blobs.delete(name)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write_and_delete, range(3)))
    assert listed(blobs, "clips/") == []


def test_list_says_size_and_time(blobs: BlobStore) -> None:
    """Each blob is listed with its size and the aware time of its last write."""
    before = datetime.now(UTC) - timedelta(minutes=5)
    blobs.put(NAME, b"12345")
    (info,) = blobs.list(NAME)
    assert (info.name, info.size_bytes) == (NAME, 5)
    assert before < info.modified_utc < before + timedelta(minutes=10)
    assert info.modified_utc.utcoffset() == timedelta(0)


def test_metadata_is_for_others(blobs: BlobStore) -> None:
    """A blob reads the same with metadata and without, however it is written."""
    assert blobs.put(NAME, b"first", metadata={"traceparent": "00-0af7651916cd43dd-b7ad6b71-01"})
    assert not blobs.put(NAME, b"second", overwrite=False, metadata={"traceparent": "other"})
    assert blobs.get(NAME) == b"first"
    assert [info.size_bytes for info in blobs.list("")] == [5]


def test_a_link_opens_the_blob(blobs: BlobStore) -> None:
    """Whoever holds a link reads the blob by it alone, as it then is; the link is the URI, with a query at most."""
    blobs.put(NAME, b"sound")
    link = blobs.link(NAME, valid_s=600)
    assert link.partition("?")[0] == blobs.uri(NAME)
    blobs.put(NAME, b"other sound")
    with urlopen(link, timeout=30) as answer:  # noqa: S310 - also opens the file:// links of a folder
        assert answer.read() == b"other sound"


@pytest.mark.parametrize("size", [0, 5, 40 * 2**20])
def test_a_blob_is_copied_to_a_file(blobs: BlobStore, tmp_path: Path, size: int) -> None:
    """A blob of any size, larger than one request too, arrives in a file; one that is absent leaves it empty."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    copy = tmp_path / "copy"
    with copy.open("wb") as target:
        with pytest.raises(BlobNotFound):
            blobs.copy_to(NAME, target)
        assert target.tell() == 0
        blobs.put(NAME, data)
        blobs.copy_to(NAME, target)
    assert copy.read_bytes() == data
