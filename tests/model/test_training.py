"""Training and export, on a handful of made sounds."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

torch = pytest.importorskip("torch", reason="torch is installed for training only (requirements-train.txt)")
pytest.importorskip("onnxscript", reason="exporting needs requirements-train.txt")

from model.calibration import OTHERS_WEIGH, calibration  # noqa: E402 - after the skip
from model.dataset import SAMPLE_RATE_HZ, Clip, Sounds, read_labels  # noqa: E402
from model.examples import FRONT_END, Pool, Workshop  # noqa: E402
from model.export import export  # noqa: E402
from model.network import KINDS, CallNet, Kind  # noqa: E402
from model.train import fit, masked  # noqa: E402
from shared.demo.sea import orca_call, sea_noise  # noqa: E402
from shared.scoring.detector import Detector  # noqa: E402


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clip, ...]:
    """Twelve made recordings in a folder like the real one: calls, other animals (noise here) and surroundings."""
    folder = tmp_path_factory.mktemp("training")
    rng = np.random.default_rng(1)
    rows = []
    for index in range(12):
        label = ("call", "other_bio", "ambient")[index % 3]
        sound = orca_call(SAMPLE_RATE_HZ, rng) if label == "call" else sea_noise(3.0, SAMPLE_RATE_HZ, rng)
        wavfile.write(folder / f"{index}.wav", SAMPLE_RATE_HZ, (sound * 20_000).astype(np.int16))
        duration_s = f"{sound.size / SAMPLE_RATE_HZ:.3f}"
        rows.append([f"{index}.wav", label, "", "", "here", f"g{index}", duration_s, "20000", "made/here", "", "none"])
    names = "file,label,species,call_type,site,group,duration_s,sample_rate_hz,source_repository,source_path,licence"
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([names.split(","), *rows])
    return read_labels(folder)


@pytest.fixture(scope="module")
def pool(clips: tuple[Clip, ...]) -> Pool:
    """A few dozen examples."""
    return Workshop(clips, Sounds(), np.random.default_rng(2)).pool(64)


def test_examples_are_whole_and_half_of_them_calls(pool: Pool) -> None:
    """Each example has the model's width and finite values, and half of them hold a call."""
    assert pool.mel.shape == (64, FRONT_END.n_mels, FRONT_END.input_frames)
    assert np.isfinite(pool.mel).all()
    assert pool.is_call.sum() == 32


def test_examples_know_what_they_were_made_of(pool: Pool) -> None:
    """Taking out a group takes out every example it had a part in, and no other."""
    rest = pool.without(["g0", "g2"])

    assert 0 < len(rest.groups) < 64
    assert not any({"g0", "g2"} & set(made_of.split()) for made_of in rest.groups)
    assert len(rest.groups) == len(rest.mel) == len(rest.is_call)
    assert len(pool.without([]).groups) == 64


def test_the_same_seed_makes_the_same_examples(clips: tuple[Clip, ...]) -> None:
    """Examples are decided by the seed alone."""
    first, second = (Workshop(clips, Sounds(), np.random.default_rng(7)).pool(6) for _ in range(2))

    assert np.array_equal(first.mel, second.mel)
    assert np.array_equal(first.groups, second.groups)


def test_masks_level_rows_to_their_mean() -> None:
    """SpecAugment leaves each cell as it was or at its row's mean, and never changes what it was given."""
    mel = torch.from_numpy(np.random.default_rng(3).normal(size=(8, 80, 101)).astype(np.float32))
    kept = mel.clone()
    out = masked(mel, np.random.default_rng(4))
    mean = mel.mean(dim=2, keepdim=True).expand_as(mel)

    assert torch.equal(mel, kept)
    assert not torch.equal(out, mel)
    assert bool(((out == mel) | torch.isclose(out, mean)).all())


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch warns itself while it exports
@pytest.mark.parametrize("kind", KINDS)
def test_training_learns(pool: Pool, kind: Kind) -> None:
    """A few epochs on a few examples lower each network's loss."""
    losses: list[float] = []
    fit(pool, epochs=6, batch=16, kind=kind, on_epoch=lambda _, loss: losses.append(loss))

    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch warns itself while it exports
@pytest.mark.parametrize("kind", KINDS)
def test_the_exported_file_answers_as_the_network(pool: Pool, tmp_path: Path, kind: Kind) -> None:
    """One file alone; its probabilities and embeddings are the calibrated network's."""
    torch.manual_seed(1)
    network = CallNet(FRONT_END.n_mels, FRONT_END.input_frames, kind=kind).eval()
    network.calibrate(0.7, -0.4)
    path = tmp_path / "model.onnx"
    mel = pool.mel[:5].astype(np.float32)

    export(network, path)

    answer = Detector.load(path).score(mel)
    with torch.no_grad():
        probabilities, embedding = network(torch.from_numpy(mel))
    assert list(tmp_path.iterdir()) == [path]
    assert b"stack_trace" not in path.read_bytes()
    assert answer.scores == pytest.approx(probabilities[:, 1].numpy(), abs=1e-5)
    assert answer.embeddings == pytest.approx(embedding.numpy(), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_network_hears_level(kind: Kind) -> None:
    """Thirty decibels more on every cell change nothing."""
    network = CallNet(FRONT_END.n_mels, kind=kind).eval()
    mel = torch.from_numpy(np.random.default_rng(5).normal(-50, 10, (2, 80, 101)).astype(np.float32))

    assert torch.allclose(network.logit(mel), network.logit(mel + 30), atol=1e-4)


def test_calibration_undoes_a_known_distortion() -> None:
    """Log-odds that were stretched and moved are brought back, but for the weight; the head does what it is told."""
    rng = np.random.default_rng(6)
    honest = rng.normal(0, 2, 4000)
    is_call = rng.random(4000) < 1 / (1 + np.exp(-honest))
    scale, offset = calibration(3 * honest + 2, is_call, np.full(4000, "one"))
    network = CallNet(FRONT_END.n_mels).eval()
    mel = torch.from_numpy(rng.normal(-50, 10, (2, 80, 101)).astype(np.float32))
    with torch.no_grad():
        before = network.logit(mel)
        network.calibrate(2.0, -1.0)
        after = network.logit(mel)

    assert scale == pytest.approx(1 / 3, rel=0.1)
    assert offset == pytest.approx(-2 / 3 - np.log(OTHERS_WEIGH), abs=0.15)
    assert torch.allclose(after, 2 * before - 1, atol=1e-4)
