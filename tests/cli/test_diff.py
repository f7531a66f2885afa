"""`haro models diff`: what a promotion would change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Models
from tests.scoring.tiny_model import TINY_FRONT_END, write_tiny_model

pytestmark = pytest.mark.usefixtures("tried_here")


def test_diff_shows_what_a_promotion_would_change(models: Models, recordings: Path) -> None:
    """Each recording with both scores and decisions, the most changed first, as a table, as JSON and as a picture."""
    models.add(1, -25.0)
    models.add(2, -15.0)
    picture = models.folder / "diff.png"
    changes = models.json("diff", "tiny/1", "tiny/2", "--on", recordings, "--picture", picture)
    assert (changes["a"], changes["b"]) == ("tiny/1", "tiny/2")
    each = {Path(one["file"]).name: one for one in changes["recordings"]}
    assert set(each) == {"0.wav", "1.wav", "2.wav", "3.wav"}
    assert all(one["confidence_now"] <= one["confidence"] for one in each.values())
    flipped = [name for name, one in sorted(each.items()) if one["flipped"]]
    assert (changes["flips"], flipped) == (1, ["1.wav"])
    with Image.open(picture) as image:
        assert image.size == (640, 640)
        assert len(image.getcolors(2**20) or []) > 10

    code, out, _ = models("diff", "tiny/1", str(models.folder / "tiny-2.onnx"), "--on", recordings)
    assert code == 0
    assert "1 of 4 decided otherwise" in out
    assert "call -> no call" in " ".join(out.split())
    assert models.json("list")["production"] is None


def test_diff_of_models_that_cut_sound_otherwise(models: Models, recordings: Path) -> None:
    """Where windows cannot be compared, the confidences of whole recordings are; `production` names what scores."""
    models.add(1, -45.0)
    models("promote", "tiny/1", "--reason", "x")
    longer = TINY_FRONT_END.model_copy(update={"window_s": 1.1})
    file = write_tiny_model(models.folder / "longer.onnx", front_end=longer, level_db=-45.0)
    changes = models.json("diff", "production", file, "--on", recordings / "0.wav", "--on", recordings / "3.wav")
    assert changes["a"] == "tiny/1"
    assert [one["scores"] for one in changes["recordings"]] == [1, 1]
    same = models.json("diff", "production", "tiny/1", "--on", recordings / "0.wav")
    assert (same["recordings"][0]["scores"], same["largest_change"]) == (9, 0.0)


def test_a_recording_that_cannot_be_scored_stops_no_other(models: Models, recordings: Path) -> None:
    """It is told on standard error and is in neither model's scores; the others are shown, and the code is 1."""
    (recordings / "z.wav").write_bytes(b"")
    louder = write_tiny_model(models.folder / "louder.onnx", level_db=-45.0)

    code, out, err = models("diff", "bundled", louder, "--on", recordings, "--json")
    assert (code, f"{recordings / 'z.wav'}: NOT SCORED: " in err) == (1, True)
    assert [Path(one["file"]).name for one in json.loads(out)["recordings"]] == ["0.wav", "1.wav", "2.wav", "3.wav"]

    code, out, err = models("diff", "bundled", louder, "--on", recordings / "z.wav", "--on", recordings / "0.wav")
    assert (code, err.count("NOT SCORED")) == (1, 1)
    assert "0 of 1 decided otherwise" in out or "1 of 1 decided otherwise" in out

    code, out, err = models("diff", "bundled", louder, "--on", recordings / "z.wav")
    assert (code, out) == (1, "")
    assert "none of the recordings could be scored" in err


def test_a_picture_that_cannot_be_drawn_costs_no_scores(models: Models, recordings: Path) -> None:
    """A folder that is not there is told before anything is scored; any other trouble after all was printed."""
    (recordings / "z.wav").write_bytes(b"")

    code, out, err = models("diff", "bundled", "bundled", "--on", recordings, "--picture", "/nope/x.png")
    assert (code, out, "NOT SCORED" in err) == (1, "", False)
    assert "/nope/x.png: there is no folder /nope" in err

    code, out, err = models("diff", "bundled", "bundled", "--on", recordings, "--picture", models.folder, "--json")
    assert (code, len(json.loads(out)["recordings"])) == (1, 4)
    assert f"{models.folder}: cannot be written" in err
