"""The measurement: every model in a process of its own, in rounds, so that what slows the machine slows all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.figures import PARTS, Figure, figure_of
from bench.models import Variant
from shared.errors import HaroError

LOAD = 0.8
"""How busy a core may be and still keep up, when clips come as they please."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
PICTURED = "bundled"
"""Whose detection is drawn: the picture knows of no model."""

_STEPS = {"resample": "prepare"}  # what the result's timings call it: it holds the mix to one channel, too
_WORKER_TIMEOUT_S = 300

Answer = Mapping[str, Any]


def run_rounds(
    variants: Sequence[Variant], clip_folder: Path, *, rounds: int, warm_s: float, progress: Callable[[str], None]
) -> dict[str, list[Answer]]:
    """Measure each variant once a round; returns what its processes answered, by the variant's name."""
    answers: dict[str, list[Answer]] = {variant.name: [] for variant in variants}
    for number in range(1, rounds + 1):
        for variant in variants:
            progress(f"round {number} of {rounds}: {variant.name}")
            answers[variant.name].append(_ask(variant, clip_folder, warm_s))
    return answers


def _ask(variant: Variant, clip_folder: Path, warm_s: float) -> Answer:
    """Start a process, wait for its end, and read what it found out."""
    call = [sys.executable, "-m", "bench.worker", str(variant.path), str(clip_folder)]
    options = ["--core", str(_core()), "--warm-s", str(warm_s), "--started-s", str(time.monotonic())]
    done = subprocess.run(  # noqa: S603 - our own module, with arguments made here
        [*call, *options, *(["--picture"] if variant.name == PICTURED else [])],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **dict.fromkeys(_THREADS, "1")},
        capture_output=True,
        text=True,
        timeout=_WORKER_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise HaroError(f"the process that measures {variant.name} ended with {done.returncode}:\n{done.stderr}")
    answer: Answer = json.loads(done.stdout)
    return answer


def _core() -> int:
    """The processor all are pinned to, the last one we may use: interrupts tend to be on the first. -1 for none."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else -1


def figures_of(answers: Mapping[str, Sequence[Answer]]) -> Iterator[Figure]:
    """Every figure of every variant."""
    for name, runs in answers.items():
        clips = [clip for run in runs for clip in run["clips"]]
        duration_s = runs[0]["duration_s"]
        whole_s = [sum(_part_s(clip, part) for part in PARTS) for clip in clips]
        stage_s = [clip["stage"] for clip in clips]
        for part in PARTS:
            yield figure_of(f"{name}.{part}", "s", (_part_s(clip, part) for clip in clips))
        yield figure_of(f"{name}.all", "s", whole_s)
        yield figure_of(f"{name}.times_real_time", "x", (duration_s / taken_s for taken_s in whole_s))
        yield figure_of(f"{name}.windows", "windows", [run["windows"] for run in runs])
        per_window = (1000 * clip["inference"] / runs[0]["windows"] for clip in clips)
        yield figure_of(f"{name}.inference_per_window", "ms", per_window)
        ratios = (one / floor for run in runs for one, floor in zip(run["features_s"], run["ffts_s"], strict=True))
        yield figure_of(f"{name}.ffts", "s", (floor for run in runs for floor in run["ffts_s"]))
        yield figure_of(f"{name}.features_to_ffts", "ratio", ratios)
        yield figure_of(f"{name}.health", "s", (clip["health"] for clip in clips))
        yield figure_of(f"{name}.audio", "s", (clip["audio"] for clip in clips))
        yield figure_of(f"{name}.stage", "s", stage_s)
        if name == PICTURED:
            yield figure_of(f"{name}.picture", "s", (taken_s for run in runs for taken_s in run["pictures_s"]))
        yield figure_of(f"{name}.peak_memory", "MB", (run["peak_bytes"] / 1e6 for run in runs))
        yield figure_of(f"{name}.first_score", "s", [run["first_score_s"] for run in runs])
        yield figure_of(f"{name}.first_decision", "s", [run["first_decision_s"] for run in runs])
        per_core = (LOAD * duration_s / taken_s for taken_s in stage_s)
        yield figure_of(f"{name}.hydrophones_per_core", "hydrophones", per_core)
    rates = (rate for runs in answers.values() for run in runs for rate in run["gflop_per_s"])
    yield figure_of("machine.matrix_product", "Gflop/s", rates)


def _part_s(clip: Mapping[str, float], part: str) -> float:
    return clip[_STEPS.get(part, part)]
