"""The minute that everything is measured on is like a node's, and the same each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.clip import read_clip
from bench.recording import write_clip
from shared.errors import AudioError
from shared.scoring.audio import AudioLimits, mono
from shared.scoring.frontend import ORCAHELLO_2S, ORCAHELLO_3S, LogMel
from shared.scoring.segments import Part, decode_segments


def test_six_segments_are_orcahellos_minute(tmp_path: Path) -> None:
    """Six segments hold 60.01 s of two channels, both alive: 29 windows of 3 s, and 59 of 2 s, as OrcaHello counts."""
    write_clip(tmp_path)

    clip = read_clip(tmp_path)

    assert clip.duration_s == pytest.approx(60.0107, abs=1e-3)
    parts = [Part(one.index, clip.data[one.url], 10.0 * one.index, one.duration_s) for one in clip.batch.segments]
    decoded = decode_segments(parts, AudioLimits(50_000_000, 120))
    assert len(decoded.runs) == 1
    assert not decoded.failures
    sound = decoded.runs[0].waveform
    assert (sound.sample_rate_hz, len(sound.samples)) == (48_000, 2)
    assert mono(sound)[1] == ()
    count = round(sound.duration_s * 20_000)
    assert [len(LogMel(one).window_starts_s(count)) for one in (ORCAHELLO_3S, ORCAHELLO_2S)] == [29, 59]


def test_the_clip_is_the_same_each_time(tmp_path: Path) -> None:
    """Two machines measure the same sound: the seed alone decides the samples."""
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (1, 1, 2), strict=True):
        folder.mkdir()
        write_clip(folder, seed=seed, segments=1)

    one, two, other = (sorted(read_clip(folder).data.values()) for folder in folders)

    assert one == two
    assert one != other
    assert np.isclose(len(one[0]), len(other[0]), rtol=0.05)


def test_a_segment_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    """The clip answers like a server: what is larger than allowed is an error that says so."""
    write_clip(tmp_path, segments=1)
    clip = read_clip(tmp_path)

    with pytest.raises(AudioError, match="more than the 10 allowed"):
        clip.get(clip.batch.segments[0].url, max_bytes=10)
