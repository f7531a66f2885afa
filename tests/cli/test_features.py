"""`haro features`: the model's view of a recording, as a file."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from tests.pipeline import run_haro


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Five seconds of noise at 48 kHz."""
    noise = np.random.default_rng(1).normal(0, 0.05, 5 * 48_000)
    wavfile.write(tmp_path / "noise.wav", 48_000, (noise * 32767).astype(np.int16))
    return tmp_path / "noise.wav"


def test_windows_by_mels_by_frames_unpadded(recording: Path, tmp_path: Path) -> None:
    """2-s windows every second of OrcaHello's front end: 256 mel rows, 157 frames, nothing appended."""
    code, _, err = run_haro("features", recording, "--window", "2", "--hop", "1", "--out", tmp_path / "x.npz")

    assert code == 0, err
    with np.load(tmp_path / "x.npz") as found:
        assert found["mel_db"].shape == (4, 256, 157)
        assert found["window_starts_s"].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_reference_features_from_the_command_line(shared_dir: Path, tmp_path: Path) -> None:
    """The command gives what torchaudio gives, within 0.01 dB at every cell, for both files and both window schemes."""
    schemes = {"mel_db_2s_1s": ("2", "1"), "mel_db_3s_2s_peaknorm": ("3", "2", "--peak-normalize")}
    for name in ("live3368", "live6079"):
        wav = shared_dir / "reference" / "frontend" / f"{name}.wav"
        with np.load(wav.with_suffix(".npz")) as reference:
            for array, (window, hop, *extra) in schemes.items():
                out = tmp_path / f"{name}_{array}.npz"
                code, _, err = run_haro("features", wav, "--window", window, "--hop", hop, *extra, "--out", out)
                assert code == 0, err
                with np.load(out) as found:
                    assert np.abs(found["mel_db"] - reference[array]).max() < 0.01


@pytest.mark.parametrize(
    ("window", "hop", "problem"),
    [
        ("0", "1", "Invalid value: --window: Input should be greater than 0"),
        ("2", "0", "Invalid value: --hop: Input should be greater than or equal to 0.01"),
        ("0.01", "1", "Invalid value: --window: window_s 0.01 holds fewer samples than n_fft 2560"),
        ("61", "0", "Invalid value: --window: Input should be less than or equal to 60; --hop: Input should be"),
    ],
)
def test_window_that_makes_no_sense_is_wrong_usage(
    recording: Path, tmp_path: Path, window: str, hop: str, problem: str
) -> None:
    """Windows and hops that cannot be are refused by the option's name, with the reason and nothing of our insides."""
    code, _, err = run_haro("features", recording, "--window", window, "--hop", hop, "--out", tmp_path / "x.npz")

    assert code == 2
    assert problem in err
    assert "pydantic" not in err


def test_more_windows_than_memory_holds_are_told_before_they_are_made(tmp_path: Path) -> None:
    """130 s in windows of a minute every 10 ms would be 34 GB: that and what to do is said, and nothing is written."""
    wavfile.write(tmp_path / "long.wav", 8000, np.zeros(130 * 8000, np.int16))

    code, _, err = run_haro(
        "features", tmp_path / "long.wav", "--window", "60", "--hop", "0.01", "--out", tmp_path / "x.npz"
    )

    assert code == 1
    assert f"{tmp_path / 'long.wav'}: 7001 windows would take 33.6 GB, and 2 are the most: choose a longer --hop" in err
    assert not (tmp_path / "x.npz").exists()


def test_failure_leaves_the_output_of_before(tmp_path: Path) -> None:
    """A recording too short for one window is told by name, and what lay in --out is still there."""
    wavfile.write(tmp_path / "short.wav", 48_000, np.zeros(480, np.int16))
    (tmp_path / "x.npz").write_bytes(b"precious")

    code, _, err = run_haro("features", tmp_path / "short.wav", "--out", tmp_path / "x.npz")

    assert code == 1
    assert "short.wav" in err
    assert (tmp_path / "x.npz").read_bytes() == b"precious"


def test_recording_is_never_the_output(recording: Path, tmp_path: Path) -> None:
    """An --out that is the recording itself, by its own name or a link's, is wrong usage and leaves it as it was."""
    before = recording.read_bytes()
    (tmp_path / "link.npz").symlink_to(recording)

    for out in (recording, tmp_path / "link.npz"):
        code, _, err = run_haro("features", recording, "--out", out)

        assert code == 2
        assert "is the recording itself" in " ".join(err.replace("│", " ").split())
    assert recording.read_bytes() == before


def test_output_that_is_no_npz_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """A name of another kind is wrong usage, told even before a recording that is missing, and what lay there stays."""
    (tmp_path / "other.flac").write_bytes(b"precious")

    code, _, err = run_haro("features", tmp_path / "absent.wav", "--out", tmp_path / "other.flac")

    assert code == 2
    assert "must end in .npz" in " ".join(err.replace("│", " ").split())
    assert (tmp_path / "other.flac").read_bytes() == b"precious"


def test_full_disk_leaves_no_half_file(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full in the middle of writing, the output of before stays and nothing lies beside it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.npz").write_bytes(b"precious")

    def half(target: Any, **_: Any) -> None:
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", half)
    code, _, err = run_haro("features", recording, "--out", tmp_path / "out" / "x.npz")

    assert code == 1
    assert "x.npz: cannot be written" in err
    assert "No space left on device" in err
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {"x.npz": b"precious"}
