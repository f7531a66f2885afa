"""`haro demo`: it ends by itself, and harms nothing."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from shared.runner import Runner
from tests.pipeline import leftovers, run_haro


def test_demo_tells_what_it_heard_and_what_it_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo ends by itself with 0: detections, its three gaps, where the files lie, how to see them again."""
    monkeypatch.setattr("shared.cli.demo._PACE_S", 0.02)  # nobody watches
    code, out, err = run_haro("demo", "--data", tmp_path / "demo")

    assert code == 0, out + err
    for reason in ("missing", "corrupt", "stream restarted"):
        assert reason in out
    assert "3 gaps" in out
    after = leftovers(tmp_path / "demo")
    assert after.documents["metadata"]
    assert str(tmp_path / "demo" / "haro.sqlite") in out
    assert out.splitlines()[-1].endswith(f".venv/bin/haro detections --data {tmp_path / 'demo'}")


def test_demo_says_that_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After Ctrl-C in mid-play the demo says so, sums up what it has found, and ends with 130 without complaint."""
    monkeypatch.setattr(Runner, "run", lambda _: signal.raise_signal(signal.SIGINT))

    code, out, err = run_haro("demo", "--data", tmp_path / "demo")

    assert (code, err) == (130, "")
    assert "\nstopped\n" in out
    assert "0 detections" in out
    assert out.splitlines()[-1].startswith("See them again: ")


def test_demo_never_empties_a_folder_it_did_not_make(tmp_path: Path) -> None:
    """A folder with something else in it is left alone, with a sentence."""
    (tmp_path / "thesis.txt").write_text("years of work")

    code, _, err = run_haro("demo", "--data", tmp_path)

    assert code == 1
    assert "no demo made" in err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
