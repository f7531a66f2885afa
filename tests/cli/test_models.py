"""`haro models`: keep a model, promote it, go back, and see what a change would change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image
from scipy.io import wavfile

from shared.bootstrap import bundled_model
from shared.cli.models import promote
from shared.errors import HaroError
from tests.pipeline import run_haro
from tests.registry import hostile
from tests.scoring.tiny_model import TINY_FRONT_END, tiny_metadata, write_tiny_model

RATE_HZ = 8000


class Models:
    """The command on one station."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *arguments: str | Path, **env: str) -> tuple[int, str, str]:
        """Run `haro models …`; its texts, with the lines that tables were folded into joined."""
        code, out, err = run_haro("models", *arguments, "--data", self.folder / "data", env=env)
        return code, out, " ".join(err.split())

    def json(self, *arguments: str | Path) -> Any:
        """What it prints as JSON."""
        code, out, err = self(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    def add(self, number: int, level_db: float = 0.0) -> None:
        """Add a version of the tiny model."""
        card = self.folder / "card.md"
        card.write_text(f"# tiny {number}\nHears nothing well.\n", encoding="utf-8")
        file = write_tiny_model(self.folder / f"tiny-{number}.onnx", version=str(number), level_db=level_db)
        code, _, err = self("add", file, "--card", card, "--by", "ann")
        assert code == 0, err


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """See `Models`."""
    return Models(tmp_path)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Four recordings, each louder than the one before."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    noise = np.random.default_rng(1).normal(0, 1, 5 * RATE_HZ)
    for number, level_db in enumerate((-60, -50, -40, -30)):
        samples = (noise * 10 ** (level_db / 20) * 32767).astype(np.int16)
        wavfile.write(folder / f"{number}.wav", RATE_HZ, samples)
    return folder


def test_a_model_from_its_file_to_production_and_back(models: Models) -> None:
    """Added, shown, promoted with a reason, and rolled back; the list says at each step what scores."""
    assert models.json("list")["models"] == []
    models.add(1)
    code, out, _ = models("show", "tiny/1")
    assert code == 0
    assert "# tiny 1" in out
    assert "by ann" in " ".join(out.split())
    assert models.json("show", "tiny/1")["metadata"]["version"] == "1"
    assert models.json("list")["production"] is None

    code, out, _ = models("promote", "tiny/1", "--reason", "fewer ships", "--by", "bob")
    assert (code, out.partition(";")[0]) == (0, "tiny/1 is in production, after bundled")
    code, out, _ = models("list")
    assert "tiny/1 was promoted by bob" in " ".join(out.split())
    assert "fewer ships" in out
    assert models.json("list")["production"]["previous"] is None

    code, out, _ = models("rollback", "--reason", "it was not")
    assert (code, out.partition(";")[0]) == (0, "bundled is in production, after tiny/1")
    assert models.json("list")["production"]["name"] is None


def test_the_bundled_model_has_papers_too(models: Models) -> None:
    """`show bundled` tells what Haro comes with."""
    shown = models.json("show", "bundled")
    assert shown["card"].startswith("# Model card")
    assert f"bundled ({shown['metadata']['name']}/{shown['metadata']['version']})" in models("list")[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("promote", "tiny/9", "--reason", "x"), "there is no model tiny/9 in the registry; `haro models list`"),
        (("promote", "tiny", "--reason", "x"), "'tiny' names no model: use name/version"),
        (("show", "tiny/9"), "there is no model tiny/9"),
        (("rollback", "--reason", "x"), "nothing was ever promoted"),
        (("add", "none.onnx", "--card", "none.md"), "none.onnx: cannot be read"),
        (("diff", "bundled", "tiny/9", "--on", "."), "no recordings"),
        (("diff", "bundled", "tiny/9", "--on", "nowhere"), "there is no nowhere"),
        (("diff", "bundled", "none.onnx", "--on", "{recordings}"), "none.onnx: cannot be read"),
    ],
)
def test_mistakes_are_told(
    models: Models, recordings: Path, arguments: tuple[str, ...], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends with 1 and a sentence, and changes nothing."""
    empty = models.folder / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    code, _, err = models(*(argument.format(recordings=recordings) for argument in arguments))
    assert code == 1
    assert problem in err
    assert models.json("list") | {"bundled": ""} == {"bundled": "", "production": None, "models": []}


def test_nobody_is_promoted_without_a_reason(models: Models) -> None:
    """An empty reason is wrong usage."""
    code, _, err = models("promote", "bundled", "--reason", " ")
    assert (code, "say why, in a sentence" in err) == (2, True)


def test_what_must_not_run_is_not_kept(models: Models) -> None:
    """A hostile file, one with no papers and one that is no model are refused with the reason."""
    card = models.folder / "card.md"
    card.write_text(" \n")
    file = hostile.custom_operator(models.folder / "hostile.onnx")
    assert "card.md is empty: say what" in models("add", file, "--card", card)[2]
    card.write_text("# nice")
    code, _, err = models("add", file, "--card", card)
    assert (code, "hostile.onnx: this is no ONNX model" in err, "com.example.tools" in err) == (1, True, True)
    assert "card.md: this is no ONNX model" in models("add", card, "--card", card)[2]
    assert models.json("list")["models"] == []


def test_the_same_version_with_other_content(models: Models) -> None:
    """Another file under a version that is there is refused: versions never change."""
    models.add(1)
    other = write_tiny_model(models.folder / "other.onnx", level_db=3.0)
    code, _, err = models("add", other, "--card", models.folder / "card.md")
    assert (code, "tiny/1 is in the registry with other content" in err) == (1, True)


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


def test_a_pin_is_a_setting_that_is_checked(models: Models) -> None:
    """A pin that names no model, or stands beside a file, is told before anything else."""
    code, _, err = models("list", HARO_MODEL_VERSION="tiny")
    assert (code, "HARO_MODEL_VERSION: 'tiny' names no model" in err) == (2, True)
    code, _, err = models("list", HARO_MODEL_VERSION="tiny/1", HARO_MODEL="tiny.onnx")
    assert (code, "HARO_MODEL_VERSION: HARO_MODEL names a file already" in err) == (2, True)
    assert models("list", HARO_MODEL_VERSION="bundled")[0] == 0


def test_words_are_shown_as_they_are(models: Models, recordings: Path) -> None:
    """Brackets and dollars in names, reasons and files are neither markup nor formulas, and no command stumbles."""
    models.add(1)
    (recordings / "0.wav").rename(recordings / "[b]0.wav")
    odd = tiny_metadata(version=r"[/x]$\frac$").model_dump_json()
    file = write_tiny_model(models.folder / "odd.onnx", properties={"haro": odd})
    picture = models.folder / "diff.picture"
    code, out, err = models("diff", "tiny/1", file, "--on", recordings, "--picture", picture)
    assert (code, err) == (0, "")
    assert r"tiny/[/x]$\frac$" in out
    assert "[b]0.wav" in "".join(out.split())
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert models("promote", "tiny/1", "--reason", "hears [K] pod", "--by", "[/ann]")[0] == 0
    code, out, _ = models("list")
    assert (code, "[/ann]" in out, "hears [K] pod" in " ".join(out.split())) == (0, True, True)


def test_with_a_broken_pointer_there_is_a_list_to_promote_from(models: Models) -> None:
    """The list names the models and ends with the error, so that one of them can be promoted."""
    models.add(1)
    (models.folder / "data" / "models" / "production.json").write_text("{")
    code, out, err = models("list")
    assert (code, "tiny/1" in out, "production" in out) == (1, True, False)
    assert "promote a model to write it anew" in err
    assert models("list", "--json")[0] == 1
    assert models("promote", "tiny/1", "--reason", "x")[0] == 0
    assert models.json("list")["production"]["name"] == "tiny"


def test_the_bundled_version_is_taken(models: Models) -> None:
    """The bundled model can be added as it is, and no other file under its version: results would name both alike."""
    card = models.folder / "card.md"
    card.write_text("# ours")
    ours = models.folder / "ours.onnx"
    ours.write_bytes(bundled_model().read_bytes())
    assert models("add", ours, "--card", card)[0] == 0
    model = onnx.load(str(ours))
    model.doc_string = "another"
    onnx.save(model, str(ours))
    code, _, err = models("add", ours, "--card", card, "--data", models.folder / "elsewhere")
    assert (code, "the version that comes with Haro, with other content" in err) == (1, True)


def test_nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system knows no name, as in many containers, the error says how to give one."""

    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", unknown)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HaroError, match="say who does it with --by"):
        promote("tiny/1", reason="x")


def test_other_commands_do_not_wait_for_pictures() -> None:
    """Half a second of drawing tools is loaded by who draws."""
    program = "import sys, shared.cli\nsys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
