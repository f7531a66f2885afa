"""What every blob store must do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import pytest

from shared.errors import BlobNotFound, ConflictError, StorageError
from shared.storage.ports import BlobStore

NAME = "clips/rpi_bush_point/2026-03-20/rpi_bush_point_2026-03-20t22-35-59z_5614-5619.flac"
BAD_NAMES = [
    "",
    "clips",
    "clips/",
    "/clips/a",
    "clips//a",
    "clips/a/",
    "../a",
    "clips/../a",
    "clips/..",
    "clips/./a",
    "clips/.hidden",
    "clips/a..b",
    "clips/a.",
    "clips/A",
    "clips/a b",
    "clips/a\\b",
    "clips/a%2fb",
    "clips/é",
    "clips/a\n",
    "clips/a\0b",
    "c:/a",
    ".tmp/a",
    "c/a",
    "Clips/a",
    "clips_/a",
    "-clips/a",
    "clips/" + "x" * 201,
    "clips/" + "x/" * 300 + "x",
]


def _names(blobs: BlobStore, prefix: str) -> list[str]:
    return [info.name for info in blobs.list(prefix)]


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
    assert _names(blobs, "") == ["clips/a/2.flac"]


def test_a_name_may_become_a_folder(blobs: BlobStore) -> None:
    """Once all below a name is deleted, the name itself may be a blob, and the other way round."""
    blobs.put("clips/a/b/c", b"1")
    blobs.delete("clips/a/b/c")
    assert blobs.put("clips/a", b"2")
    blobs.delete("clips/a")
    assert blobs.put("clips/a/b", b"3")


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
    assert _names(blobs, "clips/") == []


def test_list_is_in_order_of_name(blobs: BlobStore) -> None:
    """Blobs are listed by their whole names, in the order of characters, over folders and containers."""
    names = ["clips/a-b", "clips/a.flac", "clips/a/x", "clips/a/y/z", "clips/a0", "clips/a_", "clips/ab", "results/a"]
    for name in reversed(names):
        blobs.put(name, b"")
    assert _names(blobs, "") == names
    assert names == sorted(names)


def test_list_takes_a_prefix(blobs: BlobStore) -> None:
    """A prefix is any beginning of a name: a part of a word, a folder, a whole name, or nothing that exists."""
    for name in ("clips/north/1", "clips/north/2", "clips/north-sjc/1", "clips/south/1", "results/north/1"):
        blobs.put(name, b"")
    assert _names(blobs, "clips/nor") == ["clips/north-sjc/1", "clips/north/1", "clips/north/2"]
    assert _names(blobs, "clips/north/") == ["clips/north/1", "clips/north/2"]
    assert _names(blobs, "clips/north/2") == ["clips/north/2"]
    assert _names(blobs, "clip") == _names(blobs, "clips/")
    for prefix in ("clips/north/2/", "clips/x", "nothing/", "../", "/", "clips/../results"):
        assert _names(blobs, prefix) == []


def test_list_says_size_and_time(blobs: BlobStore) -> None:
    """Each blob is listed with its size and the aware time of its last write."""
    before = datetime.now(UTC) - timedelta(minutes=5)
    blobs.put(NAME, b"12345")
    (info,) = blobs.list(NAME)
    assert (info.name, info.size_bytes) == (NAME, 5)
    assert before < info.modified_utc < before + timedelta(minutes=10)
    assert info.modified_utc.utcoffset() == timedelta(0)


def test_uri_ends_with_the_name(blobs: BlobStore) -> None:
    """The URI has a scheme and ends with the name, whether the blob is there yet or not."""
    uri = urlsplit(blobs.uri(NAME))
    assert uri.scheme in {"file", "https", "http"}
    assert unquote(uri.path).endswith("/" + NAME)
    blobs.put(NAME, b"x")
    assert blobs.uri(NAME) == uri.geturl()


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


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_not_allowed(blobs: BlobStore, name: str) -> None:
    """No method takes a name that breaks the rule, and the error is not that of an absent blob."""
    for method in (
        lambda: blobs.put(name, b"x"),
        lambda: blobs.put(name, b"x", overwrite=False),
        lambda: blobs.get(name),
        lambda: blobs.copy_to(name, BytesIO()),
        lambda: blobs.get_if_changed(name, etag=None),
        lambda: blobs.replace(name, b"x", etag="x"),
        lambda: blobs.exists(name),
        lambda: blobs.delete(name),
        lambda: blobs.uri(name),
        lambda: blobs.link(name, valid_s=60),
    ):
        with pytest.raises(StorageError, match="not a blob name") as caught:
            method()
        assert not isinstance(caught.value, BlobNotFound)
    assert _names(blobs, "") == []
