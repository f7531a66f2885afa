"""Which names every blob store takes, and how it finds blobs by them."""

from __future__ import annotations

from io import BytesIO
from urllib.parse import unquote, urlsplit

import pytest

from shared.errors import BlobNotFound, StorageError
from shared.storage.ports import BlobStore
from tests.contract.clip_blobs import NAME, listed

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


def test_a_name_may_become_a_folder(blobs: BlobStore) -> None:
    """Once all below a name is deleted, the name itself may be a blob, and the other way round."""
    blobs.put("clips/a/b/c", b"1")
    blobs.delete("clips/a/b/c")
    assert blobs.put("clips/a", b"2")
    blobs.delete("clips/a")
    assert blobs.put("clips/a/b", b"3")


def test_list_is_in_order_of_name(blobs: BlobStore) -> None:
    """Blobs are listed by their whole names, in the order of characters, over folders and containers."""
    names = ["clips/a-b", "clips/a.flac", "clips/a/x", "clips/a/y/z", "clips/a0", "clips/a_", "clips/ab", "results/a"]
    for name in reversed(names):
        blobs.put(name, b"")
    assert listed(blobs, "") == names
    assert names == sorted(names)


def test_list_takes_a_prefix(blobs: BlobStore) -> None:
    """A prefix is any beginning of a name: a part of a word, a folder, a whole name, or nothing that exists."""
    for name in ("clips/north/1", "clips/north/2", "clips/north-sjc/1", "clips/south/1", "results/north/1"):
        blobs.put(name, b"")
    assert listed(blobs, "clips/nor") == ["clips/north-sjc/1", "clips/north/1", "clips/north/2"]
    assert listed(blobs, "clips/north/") == ["clips/north/1", "clips/north/2"]
    assert listed(blobs, "clips/north/2") == ["clips/north/2"]
    assert listed(blobs, "clip") == listed(blobs, "clips/")
    for prefix in ("clips/north/2/", "clips/x", "nothing/", "../", "/", "clips/../results"):
        assert listed(blobs, prefix) == []


def test_uri_ends_with_the_name(blobs: BlobStore) -> None:
    """The URI has a scheme and ends with the name, whether the blob is there yet or not."""
    uri = urlsplit(blobs.uri(NAME))
    assert uri.scheme in {"file", "https", "http"}
    assert unquote(uri.path).endswith("/" + NAME)
    blobs.put(NAME, b"x")
    assert blobs.uri(NAME) == uri.geturl()


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
    assert listed(blobs, "") == []
