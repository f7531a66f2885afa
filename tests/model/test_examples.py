"""Backgrounds to learn from, and the units at known ratios that judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model import examples
from model.dataset import SAMPLE_RATE_HZ, Clip, Sounds
from model.examples import SYNTHETIC, WINDOW, Workshop
from model.scoring import SNR_UNIT_S, SNRS_DB, snr_units_of
from shared.demo.sea import band_energy, orca_call, sea_noise
from tests.model.test_candidates import CLIP


@pytest.fixture
def sounds() -> Sounds:
    """A call and a passing ship, in memory alone."""
    rng = np.random.default_rng(1)
    sea = sea_noise(8.0, SAMPLE_RATE_HZ, rng, waves=False, unrest_db=0)
    return Sounds({Path("call"): orca_call(SAMPLE_RATE_HZ, rng), Path("ship"): sea})


@pytest.fixture
def clips(sounds: Sounds) -> tuple[Clip, Clip]:
    """The two as clips."""
    call = replace(CLIP, path=Path("call"), spans=((0.0, 1.0),))
    return call, replace(CLIP, path=Path("ship"), label="vessel", group="ship")


def test_a_vessel_or_a_chain_lies_over_some_backgrounds(
    sounds: Sounds, clips: tuple[Clip, Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every background is disturbed each has a synthetic sound on it, as long as the window; where none, none."""
    for share, expected in ((1.0, True), (0.0, False)):
        monkeypatch.setattr(examples, "DISTURBED", share)
        workshop = Workshop(clips[1:], sounds, np.random.default_rng(2))
        backgrounds = [workshop.background() for _ in range(30)]
        recorded = [piece for piece in backgrounds if "ship" in piece.groups]

        assert recorded
        assert all((SYNTHETIC in piece.groups) == expected for piece in recorded)
        assert all(piece.samples.size == WINDOW and np.isfinite(piece.samples).all() for piece in backgrounds)


def test_calls_are_set_into_the_fold_s_own_noise_at_the_ratios_said(sounds: Sounds, clips: tuple[Clip, Clip]) -> None:
    """One unit for each ratio, alike but for it: what was added grows by the steps between the ratios."""
    units = snr_units_of(clips, sounds)

    assert [unit.snr_db for unit in units] == list(SNRS_DB)
    assert {unit.samples.size for unit in units} == {round(SNR_UNIT_S * SAMPLE_RATE_HZ)}
    rising = [band_energy(unit.samples - units[0].samples, SAMPLE_RATE_HZ) for unit in units[1:]]
    gains = [10 ** (snr_db / 20) - 10 ** (SNRS_DB[0] / 20) for snr_db in SNRS_DB[1:]]
    assert np.array(rising) / rising[0] == pytest.approx((np.array(gains) / gains[0]) ** 2, rel=0.01)


def test_without_noise_there_are_no_such_units(sounds: Sounds, clips: tuple[Clip, Clip]) -> None:
    """Calls alone can be set into nothing."""
    assert snr_units_of(clips[:1], sounds) == []
