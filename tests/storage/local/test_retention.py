"""What is forgotten, in which order, and what never is."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import Segment, SegmentBatch, clip_blob_name, result_blob_name
from shared.errors import StorageError
from shared.storage.local.blobs import FolderBlobs
from shared.storage.local.retention import SweepReport, choose, recorded_at, sweep
from shared.storage.ports import BlobInfo

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
KEEP_DAYS = 30


class Disk:
    """A disk of a given size that holds the blobs and nothing else."""

    def __init__(self, blobs: FolderBlobs, size_bytes: int) -> None:
        self._blobs = blobs
        self._size_bytes = size_bytes

    def __call__(self, folder: Path) -> Disk:
        """It is its own answer, for the folder of the blobs."""
        assert folder == self._blobs.root
        return self

    @property
    def free(self) -> int:
        """What the blobs leave."""
        return self._size_bytes - sum(info.size_bytes for info in self._blobs.list(""))


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """An empty store."""
    return FolderBlobs(tmp_path / "blobs", min_free_bytes=0)


def _batch(hydrophone: str, age_days: float) -> SegmentBatch:
    start_utc = NOW - timedelta(days=age_days)
    segment = Segment(index=0, url="http://127.0.0.1/live000.ts", start_utc=start_utc, duration_s=10)
    epoch = int(start_utc.timestamp())
    return SegmentBatch(
        hydrophone_id=hydrophone, epoch=epoch, segments=(segment,), offset_s=2.0, time_source="folder_epoch"
    )


def _put(blobs: FolderBlobs, name: str, data: bytes, *, written_days_ago: float) -> str:
    blobs.put(name, data)
    written = (NOW - timedelta(days=written_days_ago)).timestamp()
    os.utime(blobs.root / name, (written, written))
    return name


def _clip(
    blobs: FolderBlobs,
    age_days: float,
    *,
    hydrophone: str = "north",
    detected: bool = False,
    written_days_ago: float | None = None,
    size: int = 100,
) -> str:
    name = clip_blob_name(_batch(hydrophone, age_days), detected=detected, suffix="flac")
    return _put(blobs, name, b"x" * size, written_days_ago=age_days if written_days_ago is None else written_days_ago)


def _result(blobs: FolderBlobs, age_days: float, content: object, *, hydrophone: str = "north") -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return _put(blobs, result_blob_name(_batch(hydrophone, age_days).id), data, written_days_ago=age_days)


def _names(blobs: FolderBlobs) -> set[str]:
    return {info.name for info in blobs.list("")}


def _sweep(blobs: FolderBlobs, *, size_bytes: int = 10**12, reserve: int = 0, headroom: int = 0) -> SweepReport:
    on_disk = FolderBlobs(blobs.root, min_free_bytes=0, disk_usage=Disk(blobs, size_bytes))
    return sweep(on_disk, now=NOW, keep_days=KEEP_DAYS, min_free_bytes=reserve, headroom_bytes=headroom)


def test_clips_go_after_their_days(blobs: FolderBlobs) -> None:
    """A clip older than `keep_days` goes, a younger one and every detection stay, and the report counts."""
    _clip(blobs, 30.01, size=70)
    _clip(blobs, 90, hydrophone="south", size=30)
    kept = {_clip(blobs, 29.99), _clip(blobs, 0), _clip(blobs, 400, detected=True)}
    assert _sweep(blobs) == SweepReport(deleted=2, freed_bytes=100, still_short_bytes=0)
    assert _names(blobs) == kept
    assert _sweep(blobs) == SweepReport(0, 0, 0)


def test_a_backfill_stays_its_days(blobs: FolderBlobs) -> None:
    """Old sound that was written lately stays, and does not shield what is old in both ways."""
    backfilled = _clip(blobs, 700, written_days_ago=1)
    _clip(blobs, 40)
    assert _sweep(blobs).deleted == 1
    assert _names(blobs) == {backfilled}


def test_a_full_disk_takes_the_oldest_first(blobs: FolderBlobs) -> None:
    """Below the reserve the oldest clips go, over all hydrophones and within a day, just until there is room."""
    ages = {f"{hour}": 2 - hour / 24 for hour in (0, 1, 5, 20, 30)}
    names = {hour: _clip(blobs, age, hydrophone="north" if int(hour) % 2 else "south") for hour, age in ages.items()}
    report = _sweep(blobs, size_bytes=700, reserve=350)  # 5 x 100 used, 200 free: 150 short, so two go
    assert report == SweepReport(deleted=2, freed_bytes=200, still_short_bytes=0)
    assert _names(blobs) == {names["5"], names["20"], names["30"]}


def test_headroom_is_made_before_the_reserve_is_touched(blobs: FolderBlobs) -> None:
    """Room for what comes until the next sweep is made too, so that the next clip is not refused."""
    _clip(blobs, 2)
    kept = _clip(blobs, 1)
    assert _sweep(blobs, size_bytes=600, reserve=350, headroom=100).deleted == 1
    assert _names(blobs) == {kept}


def test_what_is_still_short_is_said(blobs: FolderBlobs) -> None:
    """When all clips are gone and the disk is still short, the report says by how much, and detections stay."""
    kept = {_clip(blobs, 2, detected=True, size=500), _result(blobs, 1, {"detected": False, "x": "y" * 470})}
    _clip(blobs, 1)
    used = sum(info.size_bytes for info in blobs.list("")) - 100
    report = _sweep(blobs, size_bytes=used + 150, reserve=400, headroom=100)
    assert report == SweepReport(deleted=1, freed_bytes=100, still_short_bytes=250)
    assert _names(blobs) == kept


def test_results_go_unless_a_call_was_heard(blobs: FolderBlobs) -> None:
    """Results older than a year go only when they can be read and say that nothing was detected."""
    _result(blobs, 366, {"detected": False})
    kept = {
        _result(blobs, 367, {"detected": True}),
        _result(blobs, 368, b"half a js"),
        _result(blobs, 369, b"\xff\xfe\x00"),
        _result(blobs, 370, {"something": "else"}),
        _result(blobs, 371, [1]),
        _result(blobs, 364, {"detected": False}),
        _put(blobs, "results/strange", b'{"detected": false}', written_days_ago=999),
        _put(blobs, "results/north/no-epoch/0-5.json", b'{"detected": false}', written_days_ago=999),
    }
    assert _sweep(blobs).deleted == 1
    assert _names(blobs) == kept


def test_results_can_all_be_kept(blobs: FolderBlobs) -> None:
    """With `results_keep_days=None` no result goes."""
    kept = _result(blobs, 4000, {"detected": False})
    sweep(blobs, now=NOW, keep_days=1, min_free_bytes=0, results_keep_days=None)
    assert _names(blobs) == {kept}


def test_what_is_not_ours_stays(blobs: FolderBlobs) -> None:
    """Files under clips/ that no clip's name fits stay, however old and full."""
    kept = {
        _put(blobs, "clips/readme", b"x", written_days_ago=999),
        _put(blobs, "clips/north/notes/a_2020-01-01t00-00-00z_0-5.flac", b"x", written_days_ago=999),
        _put(blobs, "clips/north/2020-01-01/notes.txt", b"x", written_days_ago=999),
    }
    assert _sweep(blobs, size_bytes=0, reserve=100) == SweepReport(0, 0, 103)
    assert _names(blobs) == kept


def test_an_empty_store(blobs: FolderBlobs) -> None:
    """There is nothing to do before the first clip."""
    assert _sweep(blobs) == SweepReport(0, 0, 0)


def test_one_that_cannot_go_does_not_keep_the_others(
    blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be deleted is logged, and the rest goes."""
    stuck, _, _ = (_clip(blobs, age) for age in (50, 40, 45))
    delete = FolderBlobs.delete

    def fail_for_one(self: FolderBlobs, name: str) -> bool:
        if name == stuck:
            raise StorageError(f"{name} belongs to root")
        return delete(self, name)

    monkeypatch.setattr(FolderBlobs, "delete", fail_for_one)
    assert _sweep(blobs).deleted == 2
    assert _names(blobs) == {stuck}
    assert "belongs to root" in caplog.text


@pytest.mark.parametrize(
    "locked", ["clips/lost+found", "clips/north/2026-01-29", "results/lost+found", "results/north"]
)
def test_a_folder_that_cannot_be_read_is_skipped_aloud(
    blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, locked: str
) -> None:
    """What lies in somebody else's folder, as a disk's lost+found, stays and is told; the rest goes."""
    put = {_clip(blobs, 50), _clip(blobs, 40), _result(blobs, 400, {"detected": False})}
    (blobs.root / locked).mkdir(exist_ok=True)
    scandir = os.scandir

    def refuse(folder: Path) -> object:
        if folder == blobs.root / locked:
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        sweep(blobs, now=NOW, keep_days=KEEP_DAYS, min_free_bytes=0, headroom_bytes=0)
    assert _names(blobs) == {name for name in put if name.startswith(locked)}
    assert f"{locked}: " in caplog.text


def test_only_days_that_matter_are_read(blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep looks at no file in the folders of younger days, however many there are."""
    for age in (0, 1, 2, 10, 40):
        _clip(blobs, age)
    read: list[str] = []
    scandir = os.scandir

    def listen(folder: Path) -> object:
        read.append(Path(folder).name)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", listen)
    sweep(blobs, now=NOW, keep_days=KEEP_DAYS, min_free_bytes=0)
    monkeypatch.undo()
    days_read = {name for name in read if name.startswith("20")}
    assert days_read == {f"{NOW - timedelta(days=40):%Y-%m-%d}", f"{NOW - timedelta(days=10):%Y-%m-%d}"}


CLIPS = st.lists(
    st.tuples(
        st.sampled_from(["north", "south", "east-1"]),
        st.floats(0, 60).map(lambda days: round(days, 3)),  # age of the sound
        st.floats(0, 1),  # age of the file, as a share of it
        st.booleans(),  # detected
        st.integers(0, 500),  # size
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(CLIPS, st.integers(0, 3000), st.integers(0, 2000))
def test_never_a_detection_always_the_oldest(
    clips: list[tuple[str, float, float, bool, int]], size_bytes: int, reserve: int
) -> None:
    """Whatever lies there: detections stay; nothing goes before what is older; nothing goes without a reason."""
    with tempfile.TemporaryDirectory() as folder:
        blobs = FolderBlobs(Path(folder), min_free_bytes=0)
        for hydrophone, age, share, detected, size in clips:
            _clip(blobs, age, hydrophone=hydrophone, detected=detected, written_days_ago=age * share, size=size)
        before = {info.name: info for info in blobs.list("")}
        short = reserve - Disk(blobs, size_bytes).free
        report = _sweep(blobs, size_bytes=size_bytes, reserve=reserve)
        left = _names(blobs)
        free = Disk(blobs, size_bytes).free
    gone = [info for name, info in sorted(before.items(), key=lambda i: recorded_at(i[0])) if name not in left]
    assert all(info.name.startswith("clips/") for info in gone)
    assert report == SweepReport(len(gone), sum(info.size_bytes for info in gone), max(0, reserve - free))

    cutoff = NOW - timedelta(days=KEEP_DAYS)
    in_time = [info for info in gone if not _is_old(info, cutoff)]
    if in_time:  # young ones go only for room: then every older clip is gone, and without the last it was too little
        newest = recorded_at(in_time[-1].name)
        assert all(recorded_at(name) >= newest for name in left if name.startswith("clips/"))
        assert sum(info.size_bytes for info in gone if recorded_at(info.name) < newest) < short
    clips_left = [before[name] for name in left if name.startswith("clips/")]
    assert not any(_is_old(info, cutoff) for info in clips_left)
    assert not clips_left or free >= reserve


def _is_old(info: BlobInfo, cutoff: datetime) -> bool:
    return info.modified_utc < cutoff and recorded_at(info.name) < f"{cutoff:%Y-%m-%dt%H-%M-%Sz}"


def test_choose_reads_no_further_than_it_needs() -> None:
    """The pure choice stops at the first clip that is in time, once there is room."""
    names = [f"clips/a/2026-0{month}-01/a_2026-0{month}-01t00-00-00z_0-5.flac" for month in (1, 2, 3)]
    clips = iter([BlobInfo(name, 10, NOW) for name in names])
    assert [clip.name for clip in choose(clips, cutoff=NOW - timedelta(days=60), short_bytes=5)] == names[:1]
    assert [clip.name for clip in clips] == names[2:]


def test_recorded_at() -> None:
    """The time is read from the names that Haro gives its clips, and from no others."""
    name = clip_blob_name(_batch("rpi_bush_point", 0), detected=False, suffix="png")
    assert recorded_at(name) == "2026-03-20t12-00-00z"
    assert recorded_at("clips/a/2026-03-20/notes.txt") == ""
    assert recorded_at("clips/a_2026-03-20t12-00-00z_x/notes.txt") == ""
