"""Models are tried out where they can do no harm, and those that would are refused with the reason."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from shared.documents import ModelRef
from shared.errors import HaroError, ModelError
from shared.registry.trial import Limits, admit, try_out
from shared.scoring.model_file import ModelMetadata
from tests.registry import hostile
from tests.registry.conftest import version
from tests.registry.served_desk import ServedDesk, serving
from tests.scoring.tiny_model import TINY_FRONT_END, tiny_metadata, write_tiny_model

only_with_limits = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's memory so")
tried_here = pytest.mark.usefixtures("tried_here")


def refusal(path: Path, limits: Limits | None = None) -> str:
    """Why the model is refused."""
    with pytest.raises(ModelError) as caught:
        tried(path, limits or Limits())
    return str(caught.value)


def tried(path: Path, limits: Limits) -> ModelMetadata:
    """What comes of trying the model out."""
    return try_out(path.read_bytes(), source=str(path), threads=1, batch_size=2, limits=limits)


@pytest.fixture(scope="module")
def good_trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelMetadata, str]:
    """What a good model says of itself when it is tried, and the environment of the process that tried it."""
    folder = tmp_path_factory.mktemp("good")
    seen = folder / "environment"
    note = f"import os\nopen({str(seen)!r}, 'w').write(repr(dict(os.environ)))\n"
    (folder / "sitecustomize.py").write_text(note)
    with pytest.MonkeyPatch.context() as settings:
        settings.syspath_prepend(str(folder))
        settings.setenv("HARO_MODERATOR_CHANNELS", "json://a-password")
        settings.setenv("CosmosConnection", "AccountKey=a-password")
        return tried(write_tiny_model(folder / "m.onnx"), Limits()), seen.read_text()


def test_a_good_model_passes(good_trial: tuple[ModelMetadata, str]) -> None:
    """What a good model says of itself comes back."""
    metadata, _ = good_trial
    assert metadata == tiny_metadata()


def test_it_sees_no_secret(good_trial: tuple[ModelMetadata, str]) -> None:
    """The process that tries a model has none of this one's settings."""
    _, environment = good_trial
    assert "PYTHONPATH" in environment
    assert "a-password" not in environment


def test_what_is_no_model(tmp_path: Path) -> None:
    """A file that is something else is refused by name."""
    (tmp_path / "text.onnx").write_text("hello")
    assert refusal(tmp_path / "text.onnx").startswith(f"{tmp_path / 'text.onnx'}: this is no ONNX model")


@tried_here
def test_missing_metadata(tmp_path: Path) -> None:
    """A model that says nothing of itself is refused."""
    assert "no 'haro' entry" in refusal(write_tiny_model(tmp_path / "m.onnx", properties={}))


@tried_here
def test_metadata_as_long_as_a_book(tmp_path: Path) -> None:
    """What a model says of itself is kept short, before anybody reads it."""
    metadata = tiny_metadata().model_dump(mode="json") | {"training_data": "whales " * 10_000}
    path = write_tiny_model(tmp_path / "m.onnx", properties={"haro": json.dumps(metadata)})
    assert "65536 at most" in refusal(path)


@tried_here
def test_a_front_end_that_nothing_can_pass(tmp_path: Path) -> None:
    """A model whose windows no clip can be cut into is refused: it would fail with every clip."""
    broken = TINY_FRONT_END.model_copy(update={"hop_s": 0.33333})
    assert "no whole number of samples" in refusal(write_tiny_model(tmp_path / "m.onnx", front_end=broken))


@tried_here
def test_a_clip_that_becomes_too_much(tmp_path: Path) -> None:
    """A model that wants a window from every sample of a clip is refused."""
    dense = TINY_FRONT_END.model_copy(update={"hop_s": 1 / 8000})
    assert "hop_s: Input should be" in refusal(write_tiny_model(tmp_path / "m.onnx", front_end=dense))


@tried_here
def test_a_model_that_scores_only_in_pairs(tmp_path: Path) -> None:
    """A model that cannot score the last window of a clip, which may be alone, is refused."""
    assert "answered 1 windows with" in refusal(hostile.only_in_pairs(tmp_path / "m.onnx"))


@tried_here
def test_a_reason_is_short(tmp_path: Path) -> None:
    """A file cannot fill memory, log and health with a reason that quotes it."""
    assert len(refusal(hostile.wordy(tmp_path / "m.onnx"))) < 5000


def test_no_room_is_not_the_models_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no temporary file can be made, that is said, and the model is not refused for it."""
    model = write_tiny_model(tmp_path / "m.onnx")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(HaroError, match="no room to try it out") as caught:
        tried(model, Limits())
    assert not isinstance(caught.value, ModelError)


@only_with_limits
def test_within_stricter_limits_of_the_system(tmp_path: Path) -> None:
    """Where a process may have less than the trial allows already, good models pass all the same."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from shared.registry.trial import try_out\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (900 * 2**20,) * 2)\n"
        "data = Path(sys.argv[1]).read_bytes()\n"
        "print(try_out(data, source='it', threads=1, batch_size=2).model_version)\n"
    )
    command = [sys.executable, "-c", program, str(write_tiny_model(tmp_path / "m.onnx"))]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "tiny/1"


def test_it_is_there_where_signals_are_fewer() -> None:
    """Haro starts on Windows, whose Python knows neither of the signals that end a process out of time."""
    program = "import signal\ndel signal.SIGKILL, signal.SIGXCPU\nimport shared.registry.trial"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@tried_here
def test_a_custom_operator(tmp_path: Path) -> None:
    """An operator from elsewhere is refused by its name."""
    assert "com.example.tools" in refusal(hostile.custom_operator(tmp_path / "m.onnx"))


@tried_here
@pytest.mark.parametrize("location", ["/etc/hostname", "../secret.bin", "weights.bin"])
def test_data_in_other_files(tmp_path: Path, location: str) -> None:
    """Weights in another file are refused, wherever it lies."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for secret in (tmp_path / "secret.bin", folder / "weights.bin"):
        secret.write_bytes(bytes(16))
    assert "xternal data" in refusal(hostile.external_data(folder / "m.onnx", location))


@only_with_limits
@pytest.mark.parametrize("at_load", [True, False])
def test_more_memory_than_there_may_be(tmp_path: Path, *, at_load: bool) -> None:
    """A small file that asks for 400 GB is refused, at load or at its first window, and this process goes on."""
    assert "llocat" in refusal(hostile.huge_tensor(tmp_path / "m.onnx", at_load=at_load))


@only_with_limits
def test_a_model_that_takes_a_little_too_much(tmp_path: Path) -> None:
    """The limit holds for what a machine could well give, too."""
    limits = Limits(memory_bytes=8 * hostile.MIB)
    assert refusal(write_tiny_model(tmp_path / "m.onnx"), limits)


@only_with_limits
def test_a_model_that_never_ends(tmp_path: Path) -> None:
    """A model that computes for ever is refused once its time is up."""
    reason = refusal(hostile.endless(tmp_path / "m.onnx"), Limits(time_s=2))
    assert re.search("more than 2 s of computing|did not score within", reason)


@tried_here
def test_a_model_under_anothers_name(tmp_path: Path) -> None:
    """A file that calls itself otherwise than the registry is refused; the right one becomes a detector."""
    data = write_tiny_model(tmp_path / "m.onnx").read_bytes()

    def fetch(target: BinaryIO) -> None:
        target.write(data)

    with pytest.raises(ModelError, match="model tiny/2 calls itself tiny/1"):
        admit(fetch, ModelRef(name="tiny", version="2"), threads=1, batch_size=2)
    detector = admit(fetch, ModelRef(name="tiny", version="1"), threads=1, batch_size=2)
    assert detector.metadata == tiny_metadata()


@pytest.mark.parametrize("make", [hostile.custom_operator, hostile.endless])
def test_a_hostile_model_is_tried_once(
    desk: ServedDesk, tmp_path: Path, make: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that got into the registry all the same is refused by the worker, once, and another one is taken up."""
    data = make(tmp_path / "hostile.onnx").read_bytes()
    desk.registry.add(data, "# nice", ref=version("nice"), by="eve")
    desk.promote("nice")
    model = desk.serve()
    with monkeypatch.context() as impatient:
        impatient.setattr("shared.registry.trial.Limits.__init__.__defaults__", (2**30, 3))
        assert {serving(model), desk.after_a_while(model), desk.after_a_while(model)} == {"0"}
    assert "but bundled: model tiny/nice" in model.problem
    assert desk.admitted == ["tiny/nice"]
    desk.promote(1)
    assert (desk.after_a_while(model), model.problem) == ("1", "")
