"""`haro models`: keep a model, promote it, go back, and see what a change would change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from PIL import Image

from shared.bootstrap import bundled_model
from shared.cli.models import promote
from shared.errors import HaroError
from tests.cli.conftest import Models
from tests.registry import hostile
from tests.scoring.tiny_model import tiny_metadata, write_tiny_model


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


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("promote", "bundled", "--reason", " "), "--reason"),
        (("promote", "bundled", "--reason", "x", "--by", ""), "--by"),
        (("rollback", "--reason", "x", "--by", "  "), "--by"),
        (("add", "any.onnx", "--card", "any.md", "--by", "  "), "--by"),
    ],
)
def test_a_blank_reason_or_name_is_wrong_usage(models: Models, arguments: tuple[str, ...], option: str) -> None:
    """Nobody is promoted without a reason, and neither the login name nor nothing stands for a blank `--by`."""
    code, _, err = models(*arguments)
    assert (code, f"Invalid value for '{option}': it is blank" in err) == (2, True)


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


@pytest.mark.usefixtures("tried_here")
def test_the_same_version_with_other_content(models: Models) -> None:
    """Another file under a version that is there is refused: versions never change."""
    models.add(1)
    other = write_tiny_model(models.folder / "other.onnx", level_db=3.0)
    code, _, err = models("add", other, "--card", models.folder / "card.md")
    assert (code, "tiny/1 is in the registry with other content" in err) == (1, True)


def test_a_pin_is_a_setting_that_is_checked(models: Models) -> None:
    """A pin that names no model, or stands beside a file, is told before anything else."""
    code, _, err = models("list", HARO_MODEL_VERSION="tiny")
    assert (code, "HARO_MODEL_VERSION: 'tiny' names no model" in err) == (2, True)
    code, _, err = models("list", HARO_MODEL_VERSION="tiny/1", HARO_MODEL="tiny.onnx")
    assert (code, "HARO_MODEL_VERSION: HARO_MODEL names a file already" in err) == (2, True)
    assert models("list", HARO_MODEL_VERSION="bundled")[0] == 0


@pytest.mark.usefixtures("tried_here")
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


@pytest.mark.usefixtures("tried_here")
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


@pytest.mark.usefixtures("tried_here")
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
    program = "import sys, shared.cli.commands\nsys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
