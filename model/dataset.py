"""Which recordings there are, what is heard in them, and on which side of each split they stand."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shared.scoring.audio import mono, read_blocks
from shared.scoring.resampling import resample

Samples = NDArray[np.float32]
Split = Literal["train", "validation", "test"]

SAMPLE_RATE_HZ = 20_000
SPANS_FILE = Path(__file__).with_name("spans.csv")
"""Where calls, and the tape's spoken announcements, lie in the longer call clips: read off spectrograms by eye."""

EXCLUDED = {
    "ambient-8ba44b5710.flac": "labelled 'unlabelled/whale?', and pulsed harmonics show in its spectrogram",
    "ambient-ea4652c88e.flac": "labelled 'unlabelled/whale?', and harmonic calls show in its spectrogram",
    "ambient-d5e7b69169.flac": "labelled 'unlabelled/whale?', cut from the same detections",
}
"""Files no split uses, and why."""

SOURCES = (
    ("AMAR deployment", "AMAR"),
    ("DFO AM0", "DFO moorings"),
    ("Ford archive", "Ford archive tapes"),
    ("Ford-Osborne", "Ford-Osborne tape"),
    ("DFO/Ford", "DFO catalogue"),
    ("see README", "Whistles"),
    ("ONC/JASCO", "Bigg's (ONC/JASCO)"),
    ("Watkins", "Watkins"),
    ("Orcasound", "Orcasound"),
    ("ONC icListen", "ONC icListen"),
    ("ONC Strait", "DeepShip"),
    ("MBARI", "MBARI MARS"),
    ("OOI", "OOI Oregon"),
    ("Belgium", "Belgium"),
)
"""Start of the `site` column -> the family of recordings that is left out as a whole."""

WHOLE_TEST_SOURCES = frozenset({"DFO moorings", "MBARI MARS"})
"""Sources of which nothing is ever trained on: one of calls, one of other sounds."""

ALWAYS_TRAINED = frozenset({"Ford archive tapes", "Ford-Osborne tape", "Bigg's (ONC/JASCO)", "OOI Oregon", "Belgium"})
"""Sources of one recording each: they cannot be split, and too little would remain without them.

`model.evaluate` leaves each of the calls' out in turn instead.
"""

LONGEST_S = 3600.0
"""No single recording to train on is longer."""

SALT = "haro-26"
"""Chosen, before any training, so that each kind of sound has groups on every side."""

Span = tuple[float, float]


@dataclass(frozen=True)
class Clip:
    """One row of `labels.csv`. `spans` says where its calls lie, `speech` where a voice announces them; in seconds."""

    path: Path
    label: str
    species: str
    site: str
    group: str
    duration_s: float
    sample_rate_hz: int
    source_repository: str
    licence: str
    spans: tuple[Span, ...] = ()
    speech: tuple[Span, ...] = ()

    @cached_property
    def source(self) -> str:
        """The family of recordings the clip belongs to; files without a known site are a source of their own."""
        return next((name for start, name in SOURCES if self.site.startswith(start)), self.source_repository)

    @property
    def is_call(self) -> bool:
        """Whether orcas call in it."""
        return self.label == "call"

    @property
    def split(self) -> Split:
        """Where the clip's whole group stands."""
        if self.source in WHOLE_TEST_SOURCES:
            return "test"
        return "train" if self.source in ALWAYS_TRAINED else split_of(self.group)


def split_of(group: str) -> Split:
    """Where a group stands, whatever other groups there are: 70 % train, 12 % validation, 18 % test, on average.

    The first eight hexadecimal digits of the name's SHA-256 are read as a fraction of one.
    """
    share = int(hashlib.sha256(f"{SALT}{group}".encode()).hexdigest()[:8], 16) / 0x1_0000_0000
    if share < 0.18:
        return "test"
    return "validation" if share < 0.30 else "train"


def read_labels(folder: Path, spans_file: Path = SPANS_FILE) -> tuple[Clip, ...]:
    """The clips of `folder/labels.csv` that can be used: no `mixed` recordings, none of `EXCLUDED`, no unsure calls.

    Raises FileNotFoundError when the folder holds no `labels.csv`.
    """
    marked: dict[tuple[str, str], list[Span]] = {}
    with spans_file.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            marked.setdefault((row["file"], row["sound"]), []).append((float(row["start_s"]), float(row["end_s"])))
    clips = []
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            name = row["file"]
            if name in EXCLUDED or row["label"] == "mixed" or (name, "unsure") in marked:
                continue
            duration_s = float(row["duration_s"])
            whole: list[Span] = [(0.0, duration_s)] if row["label"] == "call" else []
            clips.append(
                Clip(
                    path=folder / name,
                    label=row["label"],
                    species=row["species"],
                    site=row["site"],
                    group=row["group"],
                    duration_s=duration_s,
                    sample_rate_hz=int(row["sample_rate_hz"]),
                    source_repository=row["source_repository"],
                    licence=row["licence"],
                    spans=tuple(marked.get((name, "call"), whole)),
                    speech=tuple(marked.get((name, "speech"), [])),
                )
            )
    return tuple(clips)


def in_split(clips: Iterable[Clip], *splits: Split) -> tuple[Clip, ...]:
    """The clips that stand on one of the given sides."""
    return tuple(clip for clip in clips if clip.split in splits)


def read_samples(path: Path) -> Samples:
    """The recording as mono at `SAMPLE_RATE_HZ`, decoded, mixed and resampled as Haro does when it listens."""
    (whole,) = read_blocks(path, block_s=LONGEST_S, overlap_s=0)
    samples, _ = mono(whole.waveform)
    return resample(samples, whole.waveform.sample_rate_hz, SAMPLE_RATE_HZ)


@dataclass
class Sounds:
    """Decoded clips, each read once and kept in memory: an hour takes 290 MB."""

    _kept: dict[Path, Samples] = field(default_factory=dict)

    def __getitem__(self, clip: Clip) -> Samples:
        """The clip's samples at `SAMPLE_RATE_HZ`, mono."""
        if clip.path not in self._kept:
            self._kept[clip.path] = read_samples(clip.path)
        return self._kept[clip.path]

    def cut(self, clip: Clip, start_s: float, end_s: float) -> Samples:
        """The clip from `start_s` to `end_s`, as far as it goes."""
        return self[clip][max(round(start_s * SAMPLE_RATE_HZ), 0) : round(end_s * SAMPLE_RATE_HZ)]
