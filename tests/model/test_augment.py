"""What is done to sounds before they are learned from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.augment import gated, hissing, noise_of, placed, quiet_spectrum, recoloured, recorded, shifted
from model.dataset import Samples
from shared.demo.sea import band_energy, level_dbfs, orca_call, sea_noise

RATE_HZ = 20_000


def tone(hz: float, seconds: float = 1.0) -> Samples:
    """A steady tone at full scale."""
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
def test_a_sound_is_placed_at_the_ratio_asked_for(snr_db: float) -> None:
    """A tone's power over that of the noise beneath it, in the band of calls, is the ratio asked for."""
    noise = sea_noise(2.0, RATE_HZ, np.random.default_rng(3), waves=False, unrest_db=0)
    mixed = placed(tone(2000), noise, snr_db, 10_000, sample_rate_hz=RATE_HZ)

    added = (mixed - noise)[10_000:30_000]
    ratio_db = 10 * np.log10(band_energy(added, RATE_HZ) / band_energy(noise[10_000:30_000], RATE_HZ))

    assert ratio_db == pytest.approx(snr_db, abs=0.6)
    assert np.array_equal(mixed[:10_000], noise[:10_000])
    assert np.array_equal(mixed[30_000:], noise[30_000:])


@given(at=st.integers(-15_000, 39_000), seed=st.integers(0, 99))
def test_what_lies_outside_is_cut_off(at: int, seed: int) -> None:
    """Wherever a sound is placed, the window keeps its length and changes only where the sound is."""
    background = np.random.default_rng(seed).standard_normal(40_000).astype(np.float32)
    mixed = placed(tone(1000), background, 5.0, at, sample_rate_hz=RATE_HZ)

    changed = np.flatnonzero(mixed != background)

    assert mixed.shape == background.shape
    assert changed.size > 0
    assert changed[0] >= max(at, 0)
    assert changed[-1] < at + 20_000


def test_a_silent_background_is_no_error() -> None:
    """Where no ratio exists the sound is simply heard."""
    silence = np.zeros(40_000, dtype=np.float32)

    assert np.array_equal(placed(tone(1000), silence, 10.0, 0, sample_rate_hz=RATE_HZ)[:20_000], tone(1000))


def test_noise_has_the_colour_of_the_recording_without_its_call() -> None:
    """Noise made from a recording with a loud call is coloured like the recording, with no trace of the call."""
    rng = np.random.default_rng(5)
    noise = sea_noise(4.0, RATE_HZ, rng, waves=False, unrest_db=0)
    with_call = placed(orca_call(RATE_HZ, rng, kind="s16"), noise, 20.0, 20_000, sample_rate_hz=RATE_HZ)

    made = noise_of(quiet_spectrum(with_call), 80_000, rng)

    def tilt_db(samples: Samples) -> float:
        bands = (band_energy(samples, RATE_HZ, (500.0, 1000.0)), band_energy(samples, RATE_HZ, (4000.0, 8000.0)))
        return float(10 * np.log10(bands[0] / bands[1]))

    assert tilt_db(made) == pytest.approx(tilt_db(noise), abs=1.5)


@pytest.mark.parametrize("seed", range(20))
def test_every_change_keeps_sound_finite_and_as_long(seed: int) -> None:
    """Response, hiss, gate and the chain of all give finite samples, as many as went in; a shift alters the length."""
    rng = np.random.default_rng(seed)
    sound = orca_call(RATE_HZ, rng)
    changes = [
        recoloured(sound, rng, sample_rate_hz=RATE_HZ),
        hissing(sound, rng),
        gated(sound, rng),
        recorded(sound, rng, sample_rate_hz=RATE_HZ),
    ]

    for changed in changes:
        assert changed.shape == sound.shape
        assert changed.dtype == np.float32
        assert np.isfinite(changed).all()
    assert 0.04 < abs(1 - shifted(sound, rng).size / sound.size) < 0.13


def test_recordings_come_out_at_ordinary_levels() -> None:
    """However loud the sound, a recording of it lies at -55 to -12 dB re full scale, and silence stays silence."""
    rng = np.random.default_rng(8)
    levels = [level_dbfs(recorded(sea_noise(1.0, RATE_HZ, rng), rng, sample_rate_hz=RATE_HZ)) for _ in range(20)]

    assert all(-56 < level < -11.5 for level in levels)
    assert not recorded(np.zeros(20_000, dtype=np.float32), rng, sample_rate_hz=RATE_HZ).any()
