"""The exported model answers as the network in torch does, whichever file its weights came in."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="torch is installed for training only (requirements-train.txt)")
import onnx  # noqa: E402 - after the skip
from torch import nn  # noqa: E402

import model.orcahello.__main__ as orcahello  # noqa: E402
from model.orcahello.__main__ import app  # noqa: E402
from model.orcahello.download import fetch  # noqa: E402
from model.orcahello.graph import build  # noqa: E402
from model.orcahello.metadata import PolicyName, metadata_of  # noqa: E402
from model.orcahello.safetensors import read_safetensors  # noqa: E402
from model.orcahello.weights import checked  # noqa: E402
from shared.errors import ModelError  # noqa: E402
from shared.scoring.detector import Detector  # noqa: E402
from shared.scoring.frontend import ORCAHELLO_2S, ORCAHELLO_3S  # noqa: E402
from shared.scoring.model_file import MeanTopK, SmoothedCount  # noqa: E402
from tests.conftest import ROOT  # noqa: E402
from tests.model.orcahello.conftest import torch_bytes  # noqa: E402
from tests.model.orcahello.files import safetensors, write  # noqa: E402
from tests.model.orcahello.oracle import random_mel  # noqa: E402
from tests.model.orcahello.test_download import hub  # noqa: E402

if TYPE_CHECKING:
    from tests.model.orcahello.oracle import Network


@pytest.fixture(scope="module")
def exported(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published weights as the command writes them."""
    out = tmp_path_factory.mktemp("export") / "new" / "orcahello.onnx"
    result = CliRunner().invoke(app, ["export", "--weights", str(published), "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out


def test_a_hundred_windows_score_as_in_torch(network: Network, published: Path, tmp_path: Path) -> None:
    """Every layer at its real width, on small windows: 100 of them agree within 1e-5, and they do not all agree alike.

    The network has no fixed size of window but in its metadata; small ones take little time.
    """
    weights = checked(read_safetensors(published), source="w")
    metadata = metadata_of(weights, PolicyName.MEAN_TOP_K)
    small = metadata.model_copy(
        update={"front_end": metadata.front_end.model_copy(update={"n_mels": 48, "input_frames": 64})}
    )
    onnx.save(build(weights, small), str(tmp_path / "small.onnx"))
    mel = random_mel(100, 48, 64, seed=11)

    answer = Detector.load(tmp_path / "small.onnx").score(mel.numpy())
    with torch.no_grad():
        probabilities, embedding = network(mel)

    assert np.abs(answer.scores - probabilities[:, 1].numpy()).max() < 1e-5
    assert answer.embeddings == pytest.approx(embedding.numpy(), abs=1e-3, rel=1e-3)
    assert answer.scores.std() > 0.1


def test_a_full_window_scores_as_in_torch(network: Network, exported: Path) -> None:
    """So do windows of OrcaHello's own size, one alone and two at once."""
    mel = random_mel(2, 256, 312, seed=12)
    detector = Detector.load(exported)
    with torch.no_grad():
        probabilities, embedding = network(mel)

    both, one = detector.score(mel.numpy()), detector.score(mel.numpy()[1:])

    assert np.abs(both.scores - probabilities[:, 1].numpy()).max() < 1e-5
    assert both.embeddings == pytest.approx(embedding.numpy(), abs=1e-3, rel=1e-3)
    assert one.scores[0] == pytest.approx(both.scores[1], abs=1e-6)


def test_the_norms_are_folded(exported: Path) -> None:
    """The file has the 53 convolutions and 2 linear layers, no norm beside them, and lies in one piece."""
    kinds = [node.op_type for node in onnx.load(exported).graph.node]

    assert (kinds.count("Conv"), kinds.count("Gemm"), kinds.count("BatchNormalization")) == (53, 2, 0)
    assert list(exported.parent.iterdir()) == [exported]


def test_it_says_what_it_is(exported: Path) -> None:
    """Front end, policy, classes and licence are OrcaHello's of today; the version names windows and weights."""
    metadata = Detector.load(exported).metadata

    assert metadata.front_end == ORCAHELLO_3S
    assert metadata.decision == MeanTopK(k=2, threshold=0.6, local_threshold=0.5)
    assert (metadata.classes, metadata.positive_class) == (("negative", "positive"), "positive")
    assert metadata.name == "orcahello-srkw-detector-v1"
    assert metadata.version.startswith("3s-")
    assert "RAIL" in metadata.licence


def fastai_layout(network: Network) -> nn.Sequential:
    """The same layers, as fastai lays them out: body and head."""
    body = [
        network.conv1,
        network.bn1,
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        *(network.get_submodule(f"layer{i}") for i in range(1, 5)),
    ]
    head = [nn.AdaptiveMaxPool2d(1), *network.fc]
    return nn.Sequential(nn.Sequential(*body), nn.Sequential(*head))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_fastai_export_is_the_same_model(network: Network, exported: Path, tmp_path: Path, *, legacy: bool) -> None:
    """The seed's file, in either of torch's formats and in its zip, gives the same weights: the version says so."""
    learner = {"opt_func": torch.optim.Adam, "model": fastai_layout(network), "cls": nn.Module}
    path = tmp_path / "11-15-20.FastAI.R1-12.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.pkl", torch_bytes(learner, legacy=legacy))
    out = tmp_path / "fastai.onnx"

    result = CliRunner().invoke(app, ["convert-fastai", "--weights", str(path), "--out", str(out)])

    assert result.exit_code == 0, result.output
    converted, original = Detector.load(out).metadata, Detector.load(exported).metadata
    assert converted.front_end == ORCAHELLO_2S
    assert converted.decision == SmoothedCount(local_threshold=0.5, min_count=3)
    assert converted.version == "2s" + original.version.removeprefix("3s")


def test_weights_are_fetched_first(
    published: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --download the file comes from the hub, stays beside the model, and gives the same one."""
    content, out = published.read_bytes(), tmp_path / "orcahello.onnx"
    with hub(content=content, told=content) as address:
        monkeypatch.setattr(orcahello, "fetch", partial(fetch, hub=address))
        result = CliRunner().invoke(app, ["export", "--download", "--revision", "v1", "--out", str(out)])

    assert result.exit_code == 0, result.output
    assert (tmp_path / "orcahello.safetensors").read_bytes() == content
    assert out.read_bytes() == exported.read_bytes()


def test_wrong_weights_are_told_without_a_file(tmp_path: Path) -> None:
    """Another network's weights end in a message that names tensors, and no model is written."""
    path = write(tmp_path / "w.safetensors", safetensors({"model.conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}))

    result = CliRunner().invoke(app, ["export", "--weights", str(path), "--out", str(tmp_path / "o.onnx")])

    assert isinstance(result.exception, ModelError)
    assert "conv1.weight (64, 3, 7, 7), not (64, 1, 7, 7)" in str(result.exception)
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_ends_with_a_sentence(tmp_path: Path) -> None:
    """Started as people start it, a missing file is one line and no traceback; torch and onnx are not even imported."""
    arguments = ["export", "--weights", str(tmp_path / "nowhere"), "--out", str(tmp_path / "o.onnx")]
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "model.orcahello", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in result.stderr.splitlines() if not line.startswith("import time:")]

    assert result.returncode == 1
    assert lines == [
        f"model.orcahello: {tmp_path / 'nowhere'}: cannot be read (No such file or directory). Check the path."
    ]
    assert "| torch" not in result.stderr


def test_without_onnx_it_says_what_to_install(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no onnx is told where it is listed."""
    monkeypatch.delitem(sys.modules, "model.onnx_file")
    monkeypatch.setitem(sys.modules, "onnx", None)

    result = CliRunner().invoke(app, ["export", "--weights", str(published), "--out", str(tmp_path / "o.onnx")])

    assert "needs onnx: pip install -r requirements-dev.txt" in str(result.exception)


def test_neither_file_nor_download_is_wrong_usage(tmp_path: Path) -> None:
    """The command asks for one of them."""
    result = CliRunner().invoke(app, ["export", "--out", str(tmp_path / "o.onnx")])

    assert result.exit_code == 2
    assert "--download" in result.output
