"""`haro score` as people call it: exit codes, JSON lines, annotation files, clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from shared.demo.sea import mix, orca_call, sea_noise
from tests.pipeline import run_haro

RATE_HZ = 48_000
KEYS = {"file", "duration_s", "detected", "confidence", "policy", "model_version", "health", "windows"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording of calls, one of plain sea, a text file and an empty one."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(3)
    sea = sea_noise(20.0, RATE_HZ, rng, level_dbfs=-38)
    wavfile.write(folder / "sea.wav", RATE_HZ, (sea * 32767).astype(np.int16))
    for at_s, kind in ((3.0, "s1"), (6.5, "s16"), (10.0, "s19"), (14.0, "s7")):
        sea = mix(orca_call(RATE_HZ, rng, kind=kind), sea, 18.0, sample_rate_hz=RATE_HZ, at_s=at_s)
    wavfile.write(folder / "calls.wav", RATE_HZ, (np.clip(sea, -1, 1) * 32767).astype(np.int16))
    (folder / "notes.txt").write_text("no sound at all")
    (folder / "empty.wav").write_bytes(b"")
    return folder


def test_json_line_per_file(recordings: Path) -> None:
    """One JSON object per line and file, with the promised keys, and calls told from sea."""
    code, out, _ = run_haro("score", "--json", recordings / "calls.wav", recordings / "sea.wav")

    calls, sea = (json.loads(line) for line in out.splitlines())
    assert code == 0
    assert set(calls) == set(sea) == KEYS
    assert (calls["detected"], sea["detected"]) == (True, False)
    assert calls["duration_s"] == pytest.approx(20.0, abs=0.01)
    assert all(set(window) == {"start_s", "end_s", "score"} for window in calls["windows"])
    assert calls["health"]["state"] == "online"


def test_bad_files_are_told_and_the_others_scored(recordings: Path) -> None:
    """A text file, an empty one, a folder and a missing one each get a line with the reason; exit code 1."""
    bad = [recordings / "notes.txt", recordings / "empty.wav", recordings, recordings / "absent.wav"]

    code, out, err = run_haro("score", "--json", *bad, recordings / "sea.wav")

    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [set(line) for line in lines[:-1]] == [{"file", "error"}] * 4
    assert all(line["error"] for line in lines[:-1])
    assert set(lines[-1]) == KEYS
    assert "Traceback" not in out + err


@pytest.mark.parametrize("arguments", [["score"], ["score", "--no-such-option", "x.wav"], ["nonsense"]])
def test_wrong_usage_ends_with_two(arguments: list[str]) -> None:
    """Wrong usage is 2, with a hint and no traceback."""
    code, out, err = run_haro(*arguments)

    assert code == 2
    assert "Traceback" not in out + err
    assert "Usage" in err


def test_annotations_for_raven_and_audacity(recordings: Path, tmp_path: Path) -> None:
    """Both programs' files are written, and hold the stretch where the calls are."""
    for program, suffix in (("raven", ".selections.txt"), ("audacity", ".labels.txt")):
        code, _, err = run_haro("score", "--annotations", program, "--out-dir", tmp_path, recordings / "calls.wav")
        assert code == 0, err
        text = (tmp_path / f"calls.wav{suffix}").read_text(encoding="utf-8")
        rows = [row.split("\t") for row in text.splitlines()]
        columns = slice(3, 5) if program == "raven" else slice(0, 2)
        spans = [(float(start), float(end)) for start, end in (row[columns] for row in rows[program == "raven" :])]
        for call_s in (3.3, 6.8, 10.3, 14.3):
            assert any(start_s <= call_s <= end_s for start_s, end_s in spans)


def test_annotation_file_is_told(recordings: Path, tmp_path: Path) -> None:
    """The path that was written is printed under the recording's line; beside --json it leaves the lines JSON."""
    arguments = ("--annotations", "raven", "--out-dir", tmp_path, recordings / "sea.wav")
    told = f"annotations: {tmp_path / 'sea.wav.selections.txt'}"

    _, out, _ = run_haro("score", *arguments)
    _, as_json, err = run_haro("score", "--json", *arguments)

    assert told in out.splitlines()[-1]
    assert set(json.loads(as_json)) == KEYS
    assert told in err


def test_human_output_names_verdict_and_times(recordings: Path) -> None:
    """Without --json there is a sentence per file."""
    _, out, _ = run_haro("score", recordings / "calls.wav", recordings / "sea.wav")

    assert "ORCA CALLS" in out
    assert "no calls" in out


def test_model_that_is_none_is_refused_in_a_sentence(recordings: Path) -> None:
    """A model file that is no model ends with 1 and a sentence that names it."""
    code, out, err = run_haro("score", "--model", recordings / "notes.txt", recordings / "sea.wav")

    assert code == 1
    assert "notes.txt" in err
    assert "Traceback" not in out + err


def test_two_recordings_of_one_name_do_not_share_an_annotation_file(recordings: Path, tmp_path: Path) -> None:
    """The second would overwrite the first: it is told instead."""
    (tmp_path / "other").mkdir()
    twin = tmp_path / "other" / "calls.wav"
    twin.write_bytes((recordings / "calls.wav").read_bytes())

    code, _, err = run_haro(
        "score", "--annotations", "raven", "--out-dir", tmp_path / "out", recordings / "calls.wav", twin
    )

    assert code == 1
    assert "choose one --out-dir for each" in err
