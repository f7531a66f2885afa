"""PCEN as layers: what it computes, and that nothing makes it fail."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed for training only (requirements-train.txt)")

from model.pcen import Pcen, smoother  # noqa: E402 - after the skip


def test_smoother_is_the_filter_written_out() -> None:
    """The matrix does what the recursion m[t] = (1 - s) m[t - 1] + s e[t] does, from m[0] = e[0]."""
    energy = np.random.default_rng(1).random(50)
    wanted = [energy[0]]
    for value in energy[1:]:
        wanted.append(0.9 * wanted[-1] + 0.1 * value)

    found = torch.from_numpy(energy.astype(np.float32)) @ smoother(50, 0.1)

    assert found.numpy() == pytest.approx(np.array(wanted), rel=1e-4)


def test_first_values_are_those_of_the_formula() -> None:
    """Untrained, a cell is (E / (eps + M)^0.98 + 2)^0.5 - 2^0.5, with E over its row's mean in dB."""
    mel = np.random.default_rng(2).normal(-60, 10, (1, 3, 20)).astype(np.float32)
    energy = np.power(10.0, (mel - mel.mean(axis=2, keepdims=True)) / 10)
    smooth = energy @ smoother(20, 0.06).numpy()
    wanted = (energy / (1e-6 + smooth) ** 0.98 + 2) ** 0.5 - 2**0.5

    with torch.no_grad():
        found = Pcen(3, 20)(torch.from_numpy(mel)).numpy()

    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("level_db", [-100.0, 0.0, 400.0])
def test_extremes_stay_finite_and_level_does_not_matter(level_db: float) -> None:
    """Cells 200 dB apart, a flat window and any level give finite cells; level alone changes none, gradients too."""
    mel = torch.zeros(2, 4, 30)
    mel[0, 1, 5], mel[0, 2, 6] = 100.0, -100.0
    pcen = Pcen(4, 30)

    out = pcen(mel + level_db)
    out.sum().backward()

    assert torch.isfinite(out).all()
    assert torch.allclose(out, pcen(mel), atol=1e-3)
    assert all(bool(torch.isfinite(weight.grad).all()) for weight in pcen.parameters() if weight.grad is not None)


def test_an_onset_stands_out_from_a_steady_tone() -> None:
    """A tone that lasts is turned down by its own past: its start gives more than its end."""
    mel = torch.full((1, 1, 101), -60.0)
    mel[0, 0, 30:] = -20.0

    with torch.no_grad():
        out = Pcen(1, 101)(mel)[0, 0]

    assert out[30] > 1.5 * out[100] > 0
