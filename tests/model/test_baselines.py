"""The detectors that learn nothing."""

from __future__ import annotations

import numpy as np
import pytest

from model.baselines import BAND_HZ, BASELINES, energy_db, order
from model.dataset import SAMPLE_RATE_HZ, Samples
from model.examples import FRONT_END
from shared.demo.sea import mix, sea_noise
from shared.scoring.frontend import Features, LogMel


def windows(samples: Samples) -> Features:
    """The windows a network would hear."""
    log_mel = LogMel(FRONT_END)
    return log_mel.model_input(log_mel.mel_db(samples))


def sea(seed: int = 1) -> Samples:
    """Two seconds of steady noise."""
    return sea_noise(2.0, SAMPLE_RATE_HZ, np.random.default_rng(seed), waves=False, unrest_db=0)


def chirp(from_hz: float, to_hz: float) -> Samples:
    """Half a second that glides."""
    pitch_hz = np.linspace(from_hz, to_hz, SAMPLE_RATE_HZ // 2)
    return np.sin(2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ).astype(np.float32)


@pytest.mark.parametrize("name", BASELINES)
def test_a_call_in_the_band_scores_higher_than_noise(name: str) -> None:
    """A glide within the band raises both measures, and more so the louder it is."""
    measure = BASELINES[name]
    heard = [sea(), *(mix(chirp(2000, 3000), sea(), snr, sample_rate_hz=SAMPLE_RATE_HZ, at_s=0.7) for snr in (5, 15))]

    quiet, faint, loud = (float(measure(windows(samples))[0]) for samples in heard)

    assert quiet < faint < loud


@pytest.mark.parametrize("name", BASELINES)
def test_what_lies_outside_the_band_is_not_heard(name: str) -> None:
    """A loud glide above the band scores like the noise alone."""
    assert BAND_HZ[1] < 7500
    above = mix(chirp(7500, 8500), sea(), 20, sample_rate_hz=SAMPLE_RATE_HZ, at_s=0.7)
    within = mix(chirp(2000, 3000), sea(), 20, sample_rate_hz=SAMPLE_RATE_HZ, at_s=0.7)
    quiet, far, near = (float(BASELINES[name](windows(samples))[0]) for samples in (sea(), above, within))

    assert abs(far - quiet) < 0.2 * (near - quiet)


def test_level_does_not_matter() -> None:
    """The same sound 30 dB fainter scores the same: loud recordings are no calls."""
    heard = mix(chirp(2000, 3000), sea(), 10, sample_rate_hz=SAMPLE_RATE_HZ, at_s=0.7)

    for measure in BASELINES.values():
        assert measure(windows(heard * np.float32(0.03))) == pytest.approx(measure(windows(heard)), rel=1e-3)


def test_entropy_tells_a_tone_from_a_burst_of_noise() -> None:
    """A burst of noise raises the energy as a glide does, but not the order of the spectrum."""
    noise = np.random.default_rng(3).standard_normal(SAMPLE_RATE_HZ // 2).astype(np.float32)
    burst, glide = (mix(x, sea(), 15, sample_rate_hz=SAMPLE_RATE_HZ, at_s=0.7) for x in (noise, chirp(2000, 3000)))

    assert energy_db(windows(burst))[0] > energy_db(windows(sea()))[0] + 5
    assert order(windows(glide))[0] > 2 * order(windows(burst))[0]
