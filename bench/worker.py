"""One process that scores, as a station's does: it loads a model, scores the clip a few times, says how long it took.

`python -m bench.worker` is started by bench/rounds.py. What is measured is `score_batch` itself; its result says how
long each part took.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time


def _pin(core: int) -> None:
    if core >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m bench.worker")
    parser.add_argument("model")
    parser.add_argument("clip")
    parser.add_argument("--started-s", type=float, required=True, help="time.monotonic() when the process was started")
    parser.add_argument("--core", type=int, default=-1, help="the one processor to run on")
    parser.add_argument("--warm-s", type=float, default=2.0, help="score again and again for so long")
    parser.add_argument("--picture", action="store_true", help="time a detection's picture, too")
    asked = parser.parse_args()
    _pin(asked.core)
    from bench.measuring import measure  # noqa: PLC0415 - after pinning, as numpy counts the processors

    answer = measure(
        asked.model, asked.clip, asked.started_s, asked.warm_s, picture=asked.picture, clock=time.monotonic
    )
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
