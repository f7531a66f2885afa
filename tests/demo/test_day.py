"""The demo's day: the plan is the truth about what is published."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import av
import m3u8
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

from shared.demo.day import (
    BLOCK_S,
    DayPlan,
    PlannedCall,
    PlannedFolder,
    PlannedShip,
    plan_day,
    publish,
    publishing,
    render,
)
from shared.demo.encoder import PRIMING_SAMPLES, SAMPLE_RATE_HZ
from shared.demo.sea import CALL_KINDS, band_energy, level_dbfs
from shared.demo.station import Station
from shared.errors import AudioError

END_UTC = datetime(2026, 5, 1, 18, 30, tzinfo=UTC)
SMALL = DayPlan(
    "rpi_small",
    3,
    (
        PlannedFolder(
            1_777_636_800,
            75.0,
            calls=(PlannedCall(12.5, "s1", 25, 0.3), PlannedCall(62.0, "s16", 25, 0.3)),
            ships=(PlannedShip(30, 20, -30.0),),
            faults=((3, "missing"), (5, "corrupt")),
        ),
        PlannedFolder(1_777_636_900, 25.0, calls=(PlannedCall(5.0, "s19", 20, 0.3),)),
    ),
)


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    """A station on which the small day has been published."""
    with Station() as station:
        publish(SMALL, station)
        yield station


def sound_of(station: Station, folder: PlannedFolder, indices: range) -> NDArray[np.float32]:
    """Segments fetched and decoded in one pass, mono."""
    urls = (f"{station.url}/{SMALL.node_name}/hls/{folder.epoch}/live{index:03d}.ts" for index in indices)
    data = b"".join(requests.get(url, timeout=5).content for url in urls)
    with av.open(io.BytesIO(data), "r", format="mpegts") as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def test_the_plan_ends_when_asked_and_tells_a_whole_story() -> None:
    """24 minutes ending at the time given; a restart, a tail that is no whole batch, two faulty segments."""
    plan = plan_day(END_UTC)
    first, second = plan.folders

    assert timedelta(0) <= END_UTC - second.utc(second.duration_s) < timedelta(seconds=2)
    assert 1400 < (END_UTC - first.utc(0)).total_seconds() < 1480
    assert first.utc(first.duration_s) < datetime.fromtimestamp(second.epoch, UTC)
    assert first.segments % 6 != 0
    assert sorted(kind for _, kind in first.faults + second.faults) == ["corrupt", "missing"]
    assert plan.segments == first.segments + second.segments == 143
    assert list(plan.call_times_utc) == sorted(plan.call_times_utc)


def test_planned_calls_are_apart_and_cross_no_whole_minute_nor_broken_segment() -> None:
    """What the plan says is heard: no call is cut by a block's end, lost in a fault or under another."""
    for folder in plan_day(END_UTC).folders:
        assert all(call.kind in CALL_KINDS for call in folder.calls)
        assert all(call.at_s % BLOCK_S < BLOCK_S - 3 and call.at_s < folder.duration_s - 2.5 for call in folder.calls)
        assert all(later.at_s - earlier.at_s > 2.0 for earlier, later in pairwise(folder.calls))
        broken = {index for index, _ in folder.faults}
        assert not broken & {int(call.at_s / 10) + step for call in folder.calls for step in (-1, 0, 1)}


def test_the_published_folders_are_those_planned(station: Station) -> None:
    """Playlists list every segment; the first has no end mark, the last one has; latest.txt names the last."""
    playlists = [
        m3u8.loads(requests.get(f"{station.url}/rpi_small/hls/{folder.epoch}/live.m3u8", timeout=5).text)
        for folder in SMALL.folders
    ]

    assert [len(playlist.segments) for playlist in playlists] == [folder.segments for folder in SMALL.folders] == [8, 3]
    assert [playlist.is_endlist for playlist in playlists] == [False, True]
    for playlist, folder in zip(playlists, SMALL.folders, strict=True):
        total_s = sum(segment.duration or 0 for segment in playlist.segments)
        assert total_s == pytest.approx(folder.duration_s, abs=0.05)
    assert requests.get(f"{station.url}/rpi_small/latest.txt", timeout=5).text.strip() == str(SMALL.folders[1].epoch)
    assert requests.get(f"{station.url}/rpi_small/hls/1777636800/live003.ts", timeout=5).status_code == 404


def test_what_is_published_is_what_was_rendered(station: Station) -> None:
    """Level and samples of the decoded stream are the source's, one priming frame late."""
    folder = SMALL.folders[1]
    source = np.concatenate(list(render(SMALL, folder)))

    heard = sound_of(station, folder, range(3))[PRIMING_SAMPLES:]

    size = min(heard.size, source.size)
    assert level_dbfs(heard) == pytest.approx(level_dbfs(source), abs=0.2)
    assert np.corrcoef(heard[:size], source[:size])[0, 1] > 0.97


def test_calls_are_heard_at_their_planned_times(station: Station) -> None:
    """Within the call's second the band holds far more power than before it, and the onset is where the plan says."""
    for folder, call, segments in (
        (SMALL.folders[0], SMALL.folders[0].calls[0], range(3)),
        (SMALL.folders[1], SMALL.folders[1].calls[0], range(1)),
    ):
        heard = sound_of(station, folder, segments)
        start_utc = datetime.fromtimestamp(folder.epoch + 2.0, UTC)
        onset = round((folder.utc(call.at_s) - start_utc).total_seconds() * SAMPLE_RATE_HZ)

        during = band_energy(heard[onset : onset + SAMPLE_RATE_HZ], SAMPLE_RATE_HZ)
        before = band_energy(heard[onset - SAMPLE_RATE_HZ : onset], SAMPLE_RATE_HZ)
        assert during > 20 * before


def test_rendering_is_deterministic_and_follows_the_seed() -> None:
    """The same plan gives the same sound, another seed another one, and blocks join to the folder's length."""
    folder = PlannedFolder(1_777_636_800, 21.0, calls=(PlannedCall(2, "s1", 9, 1),), ships=(PlannedShip(5, 12, -30),))
    plan, other_plan = (DayPlan("rpi_small", seed, (folder,)) for seed in (3, 4))
    first, again = (np.concatenate(list(render(plan, folder))) for _ in range(2))

    assert first.size == 21 * SAMPLE_RATE_HZ
    assert np.array_equal(first, again)
    assert not np.array_equal(first, np.concatenate(list(render(other_plan, folder))))


def test_blocks_join_without_a_step() -> None:
    """Sea noise goes on across the seam of two blocks: neither a jump nor a dip in level."""
    plan = DayPlan("rpi_quiet", 1, (PlannedFolder(1_777_636_800, 65.0),))
    sound = np.concatenate(list(render(plan, plan.folders[0])))
    seam = BLOCK_S * SAMPLE_RATE_HZ

    steps = np.abs(np.diff(sound[seam - 24_000 : seam + 24_000]))
    levels = [level_dbfs(sound[at : at + 12_000]) for at in range(seam - 48_000, seam + 48_000, 12_000)]

    assert steps[24_000 - 2 : 24_000 + 2].max() < 6 * steps.std()
    assert max(levels) - min(levels) < 5


def test_leaving_early_stops_the_publisher() -> None:
    """Leaving the block ends the thread soon, with no error; what was published stays."""
    with Station() as station:
        with publishing(SMALL, station, pace_s=60) as day:
            while not any(request.status == 200 for request in station.requests):
                requests.get(f"{station.url}/rpi_small/hls/1777636800/live000.ts", timeout=5)

        assert day.done()
        assert day.exception() is None
        assert requests.get(f"{station.url}/rpi_small/hls/1777636800/live.m3u8", timeout=5).text.count("#EXTINF") == 1


def test_an_error_in_the_day_reaches_whoever_asks() -> None:
    """A plan that cannot be rendered fails the future with its reason."""
    broken = DayPlan("rpi_small", 1, (PlannedFolder(1_777_636_800, 15.0, calls=(PlannedCall(1, "s99", 0, 1),)),))

    with Station() as station, publishing(broken, station) as day, pytest.raises(AudioError, match="'s99'"):
        day.result(timeout=30)
