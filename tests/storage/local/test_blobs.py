"""What the local blob store does beyond the contract: full disks, litter, and folders that others touch."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from shared.errors import BlobNotFound, StorageError, StorageFullError
from shared.storage.local.blobs import FolderBlobs

RESERVE = 1000


@dataclass
class Disk:
    """A disk as full as a test wants it."""

    free: int = 10**9

    def __call__(self, _: Path) -> Disk:
        """It is its own answer."""
        return self


@pytest.fixture
def disk() -> Disk:
    """A disk with room."""
    return Disk()


@pytest.fixture
def blobs(tmp_path: Path, disk: Disk) -> FolderBlobs:
    """An empty store on that disk."""
    return FolderBlobs(tmp_path / "blobs", min_free_bytes=RESERVE, disk_usage=disk)


def _files(blobs: FolderBlobs) -> list[str]:
    return sorted(path.relative_to(blobs.root).as_posix() for path in blobs.root.rglob("*") if path.is_file())


def test_clips_stop_at_the_reserve_which_is_kept_for_detections(blobs: FolderBlobs, disk: Disk) -> None:
    """A clip that would take from the reserve is refused; detections and results, for which it is kept, are written."""
    disk.free = RESERVE + 10
    assert blobs.put("clips/a/b.flac", b"x" * 10)
    with pytest.raises(StorageFullError, match=f"clips/a/c.flac.*{RESERVE + 10} bytes are free"):
        blobs.put("clips/a/c.flac", b"x" * 11)
    disk.free = 5
    assert blobs.put("detections/a/b.flac", b"x" * 5000)
    assert blobs.put("results/a/b.json", b"x" * 5000)
    assert _files(blobs) == ["clips/a/b.flac", "detections/a/b.flac", "results/a/b.json"]


def test_an_existing_blob_needs_no_room(blobs: FolderBlobs, disk: Disk) -> None:
    """A conditional put of what is there already says so, however full the disk: a repeat must not fail."""
    blobs.put("clips/a/b.flac", b"x")
    disk.free = 0
    assert not blobs.put("clips/a/b.flac", b"x" * 5000, overwrite=False)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "link", "rename", "mkdir"])
def test_no_space_left(blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch, code: int, call: str) -> None:
    """When the system finds no room at any step it is StorageFullError, the old blob stays, and no litter."""
    blobs.put("results/old.json", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, {"rename": "replace"}.get(call, call), fail)
        with pytest.raises(StorageFullError, match="no room left for blob results/"):
            blobs.put("results/new/deep.json", b"new", overwrite=call != "link")
        if call in {"fsync", "rename"}:
            with pytest.raises(StorageFullError):
                blobs.put("results/old.json", b"new")
    assert _files(blobs) == ["results/old.json"]
    assert blobs.get("results/old.json") == b"old"
    assert blobs.put("results/new/deep.json", b"new")


def test_a_file_system_without_hard_links(blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that cannot create conditionally the error names the cause and the cure."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StorageError, match="no hard links; use ext4"):
        blobs.put("results/a.json", b"x", overwrite=False)
    assert _files(blobs) == []


def test_other_faults_of_the_disk(blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other fault is a StorageError that names the blob."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError, match=r"blob results/a.json.*check the folder") as caught:
        blobs.put("results/a.json", b"x")
    assert not isinstance(caught.value, StorageFullError)


def test_no_question_meets_a_bare_fault_of_the_disk(blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a blob exists, which there are and how much room is left: where the disk does not say, neither do we."""
    blobs.put("results/a.json", b"x")

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", fail)
        with pytest.raises(StorageError, match=r"blob results/a.json.*check the folder"):
            blobs.exists("results/a.json")
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", fail)
        with pytest.raises(StorageError, match="check the folder"):
            list(blobs.list("results/"))
    with pytest.raises(StorageError, match="check the folder"):
        FolderBlobs(blobs.root, min_free_bytes=0, disk_usage=fail).free_bytes()


def test_litter_of_a_killed_writer_is_removed(blobs: FolderBlobs) -> None:
    """Temporary files are never blobs, stay while others may be writing, and go when the runner says so."""
    blobs.put("results/a.json", b"x")
    (blobs.root / ".tmp" / "left-behind").write_bytes(b"half a cl")
    again = FolderBlobs(blobs.root, min_free_bytes=0)
    assert [info.name for info in again.list("")] == ["results/a.json"]
    assert again.remove_temporary_files() == 1
    assert again.remove_temporary_files() == 0
    assert _files(blobs) == ["results/a.json"]


def test_empty_folders_go(blobs: FolderBlobs) -> None:
    """Deleting the last blob of a folder takes the folder, and those above it that are empty, but never the root."""
    blobs.put("clips/north/2026-03-20/a.flac", b"x")
    blobs.put("clips/north/2026-03-21/a.flac", b"x")
    blobs.delete("clips/north/2026-03-20/a.flac")
    assert blobs.folders("clips/north/") == ["clips/north/2026-03-21/"]
    blobs.delete("clips/north/2026-03-21/a.flac")
    assert blobs.folders("") == []
    assert blobs.put("clips/north/2026-03-21/a.flac", b"x")


def test_folders(blobs: FolderBlobs) -> None:
    """The folders directly below another are named in order; hidden ones and files are not among them."""
    for name in ("clips/b/1", "clips/a/1", "clips/a-b/1", "clips/file", "results/c/1"):
        blobs.put(name, b"")
    assert blobs.folders("clips/") == ["clips/a-b/", "clips/a/", "clips/b/"]
    assert blobs.folders("") == ["clips/", "results/"]
    assert blobs.folders("detections/") == []


def test_files_of_others_are_not_blobs(blobs: FolderBlobs) -> None:
    """What a person or a file manager puts there is not listed, and does not disturb."""
    blobs.put("clips/a/1.flac", b"x")
    for foreign in (".DS_Store", "Thumbs.db", "clips/a/My notes.txt", "clips/a/.hidden", "loose"):
        (blobs.root / foreign).write_text("x")
    assert [info.name for info in blobs.list("")] == ["clips/a/1.flac"]


def test_links_do_not_lead_out(blobs: FolderBlobs, tmp_path: Path) -> None:
    """A symbolic link out of the folder is neither read, written through, deleted through nor listed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("secret")
    blobs.put("clips/a", b"x")
    (blobs.root / "results").symlink_to(outside)
    (blobs.root / "clips" / "secret.json").symlink_to(outside / "secret.json")
    for name in ("results/secret.json", "clips/secret.json"):
        for method in (blobs.get, blobs.exists, blobs.delete, lambda name: blobs.put(name, b"overwritten")):
            with pytest.raises(StorageError, match="symbolic link") as caught:
                method(name)
            assert not isinstance(caught.value, BlobNotFound)
    assert [info.name for info in blobs.list("")] == ["clips/a"]
    assert (outside / "secret.json").read_text() == "secret"


def test_a_root_behind_a_link_is_fine(tmp_path: Path) -> None:
    """The data folder itself may be a link, to a larger disk for instance."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    blobs = FolderBlobs(tmp_path / "data", min_free_bytes=0)
    blobs.put("clips/a", b"x")
    assert blobs.get("clips/a") == b"x"
    assert (tmp_path / "disk" / "clips" / "a").read_bytes() == b"x"


def test_a_blob_cannot_lie_under_another(blobs: FolderBlobs) -> None:
    """A name below a blob's, or that of a folder, is a clear error with either way of writing, and harms nothing."""
    blobs.put("clips/a/b", b"x")
    for name in ("clips/a", "clips/a/b/c"):
        for overwrite in (True, False):
            with pytest.raises(StorageError, match=name):
                blobs.put(name, b"y", overwrite=overwrite)
    assert blobs.get("clips/a/b") == b"x"
    assert _files(blobs) == ["clips/a/b"]


def test_a_root_that_cannot_be(tmp_path: Path) -> None:
    """Where no folder can be made, the error says so."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="check the folder"):
        FolderBlobs(tmp_path / "file" / "blobs", min_free_bytes=0)


def test_uri_leads_to_the_file(blobs: FolderBlobs) -> None:
    """The file:// URI is that of the file itself."""
    blobs.put("clips/a", b"x")
    assert blobs.uri("clips/a") == (blobs.root / "clips" / "a").as_uri()
