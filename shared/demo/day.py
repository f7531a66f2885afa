"""The demo's script: a hydrophone's day in miniature, and the truth about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from shared.demo.encoder import PRIMING_SAMPLES, SAMPLE_RATE_HZ, SEGMENT_S, encode_segments
from shared.demo.node import FIRST_SAMPLE_S, Node, SegmentFault
from shared.demo.sea import Samples, mix, orca_call, sea_noise, ship
from shared.demo.station import Station

NODE_NAME = "rpi_demo"
BLOCK_S = 60
SEAM_S = 0.5
RESTART_S = 9


@dataclass(frozen=True)
class PlannedCall:
    """A call to be heard: seconds of sound since its folder's start. None crosses a whole minute of sound."""

    at_s: float
    kind: str
    snr_db: float
    range_km: float


@dataclass(frozen=True)
class PlannedShip:
    """A ship to pass: when it is first heard and for how long, in seconds of sound since its folder's start."""

    at_s: float
    duration_s: float
    level_dbfs: float


@dataclass(frozen=True)
class PlannedFolder:
    """One unbroken stretch of the stream, and what will be wrong with it."""

    epoch: int
    duration_s: float
    calls: tuple[PlannedCall, ...] = ()
    ships: tuple[PlannedShip, ...] = ()
    faults: tuple[tuple[int, SegmentFault], ...] = ()

    def utc(self, at_s: float) -> datetime:
        """The UTC time of a moment of the folder's sound; the encoder's own first samples come before it."""
        start = datetime.fromtimestamp(self.epoch, UTC)
        return start + timedelta(seconds=FIRST_SAMPLE_S + PRIMING_SAMPLES / SAMPLE_RATE_HZ + at_s)

    @property
    def segments(self) -> int:
        """How many segments the folder will have."""
        return int(np.ceil(self.duration_s / SEGMENT_S))


@dataclass(frozen=True)
class DayPlan:
    """Everything that will be heard and everything that will go wrong."""

    node_name: str
    seed: int
    folders: tuple[PlannedFolder, ...]

    @property
    def call_times_utc(self) -> tuple[datetime, ...]:
        """When each call starts, in order."""
        return tuple(folder.utc(call.at_s) for folder in self.folders for call in folder.calls)

    @property
    def segments(self) -> int:
        """How many segments will be listed in all."""
        return sum(folder.segments for folder in self.folders)


def plan_day(end_utc: datetime, *, seed: int = 1) -> DayPlan:
    """The demo's day, ending at `end_utc`: 24 minutes in two folders.

    A ship passes first, then a loud bout of calls. Some minutes later a missing and a corrupt segment; then a bout that
    goes on into the last two segments of the old folder, which a listener who drops a folder's tail would lose. The
    node restarts. A second, distant ship passes; at the end come a fainter bout and calls too far away to be sure of.
    """
    first_s, second_s = 796.0, 629.8
    second_epoch = int(end_utc.timestamp() - FIRST_SAMPLE_S - second_s)
    first_epoch = int(second_epoch - FIRST_SAMPLE_S - first_s - RESTART_S)
    first = PlannedFolder(
        first_epoch,
        first_s,
        calls=(
            *_bout(362, "s1 s16 s1 s19 s17 s42 s1 s7", snr_db=18, range_km=0.5, every_s=6.5),
            *_bout(425, "s19 s1 s2 s3", snr_db=15, range_km=0.9, every_s=8.0),
            *_bout(728, "s3 s16 s19 s7 s1 s2", snr_db=15, range_km=1.0, every_s=7.3),
            *_bout(781, "s1 s19 s16", snr_db=16, range_km=1.0, every_s=4.4),
        ),
        ships=(PlannedShip(20, 300, -19.0),),
        faults=((53, "missing"), (64, "corrupt")),
    )
    second = PlannedFolder(
        second_epoch,
        second_s,
        calls=(
            *_bout(423, "s16 s19 s1 s17 s42 s16", snr_db=10, range_km=2.0, every_s=8.0),
            *_bout(484, "s1 s7 s19 s16 s3 s1", snr_db=6, range_km=3.0, every_s=8.5),
            *_bout(550, "s16 s1 s19", snr_db=0, range_km=5.0, every_s=14.0),
        ),
        ships=(PlannedShip(30, 200, -27.0),),
    )
    return DayPlan(NODE_NAME, seed, (first, second))


def render(plan: DayPlan, folder: PlannedFolder) -> Iterator[Samples]:
    """The folder's sound in blocks of a minute, mono float32 at the encoder's sample rate."""
    root = np.random.SeedSequence([plan.seed, plan.folders.index(folder)])
    sea_seed, ship_seed, call_seed = root.spawn(3)
    ship_seeds = dict(zip(folder.ships, ship_seed.spawn(len(folder.ships)), strict=True))
    call_seeds = dict(zip(folder.calls, call_seed.spawn(len(folder.calls)), strict=True))
    total = round(folder.duration_s * SAMPLE_RATE_HZ)
    seam = round(SEAM_S * SAMPLE_RATE_HZ)
    fade = np.sin(np.linspace(0, np.pi / 2, seam, dtype=np.float32))
    passing: dict[PlannedShip, Samples] = {}
    carried = np.zeros(seam, dtype=np.float32)
    for start in range(0, total, BLOCK_S * SAMPLE_RATE_HZ):
        length_s = min(BLOCK_S, (total - start) / SAMPLE_RATE_HZ) + SEAM_S
        source = np.random.default_rng(sea_seed.spawn(1)[0])
        sea = sea_noise(length_s, SAMPLE_RATE_HZ, source, level_dbfs=-38, clicks_per_s=0.05)
        if start:
            sea[:seam] = sea[:seam] * fade + carried
        block, carried = sea[:-seam], sea[-seam:] * fade[::-1]
        for one, seed in ship_seeds.items():
            if one not in passing and one.at_s * SAMPLE_RATE_HZ < start + block.size:
                passing[one] = _passing(one, np.random.default_rng(seed))
            if one in passing:
                _add(block, passing[one], round(one.at_s * SAMPLE_RATE_HZ) - start)
        for call, seed in call_seeds.items():
            at_s = call.at_s - start / SAMPLE_RATE_HZ
            if 0 <= at_s < BLOCK_S:
                sound = orca_call(SAMPLE_RATE_HZ, np.random.default_rng(seed), kind=call.kind, range_km=call.range_km)
                block = mix(sound, block, call.snr_db, sample_rate_hz=SAMPLE_RATE_HZ, at_s=at_s)
        yield block


def publish(plan: DayPlan, station: Station, *, pace_s: float = 0.0, stop: threading.Event | None = None) -> None:
    """Render, encode and publish the day, at least `pace_s` from segment to segment, until its end or until `stop`."""
    stop = stop or threading.Event()
    node = Node(station, plan.node_name)
    for folder in plan.folders:
        faults = dict(folder.faults)
        node.start_folder(folder.epoch)
        with closing(encode_segments(render(plan, folder))) as segments:
            for segment in segments:
                node.add(segment, fault=faults.get(segment.index))
                if stop.wait(pace_s):
                    return
    node.end()


@contextmanager
def publishing(plan: DayPlan, station: Station, *, pace_s: float = 0.0) -> Iterator[Future[None]]:
    """Publish the day in a thread; leaving the block stops it. The future ends with the day, and carries its errors."""
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="demo-day") as executor:
        future = executor.submit(publish, plan, station, pace_s=pace_s, stop=stop)
        try:
            yield future
        finally:
            stop.set()


def _bout(at_s: float, kinds: str, *, snr_db: float, range_km: float, every_s: float) -> tuple[PlannedCall, ...]:
    """Calls about `every_s` apart; animals keep no beat, so each comes somewhat early or late."""
    return tuple(
        PlannedCall(round(at_s + every_s * (number + 0.3 * float(np.sin(2.4 * number))), 2), kind, snr_db, range_km)
        for number, kind in enumerate(kinds.split())
    )


def _passing(one: PlannedShip, rng: np.random.Generator) -> Samples:
    """The ship with its ends faded, so that it neither starts nor stops of a sudden."""
    sound = ship(one.duration_s, SAMPLE_RATE_HZ, rng, level_dbfs=one.level_dbfs, closest_m=220)
    edge = round(min(20.0, one.duration_s / 4) * SAMPLE_RATE_HZ)
    ramp = np.linspace(0, 1, edge, dtype=np.float32) ** 2
    sound[:edge] *= ramp
    sound[-edge:] *= ramp[::-1]
    return sound


def _add(block: Samples, sound: Samples, start: int) -> None:
    """Add the part of `sound`, which starts `start` samples after the block does, that falls into the block."""
    first, last = max(start, 0), min(start + sound.size, block.size)
    if first < last:
        block[first:last] += sound[first - start : last - start]
