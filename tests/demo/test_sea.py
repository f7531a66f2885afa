"""The synthetic sea: spectra, levels, contents of calls, ratios by construction, determinism."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

from shared.demo.sea import (
    CALL_KINDS,
    CONFUSERS,
    Samples,
    at_distance,
    band_energy,
    level_dbfs,
    mix,
    orca_call,
    sea_noise,
    ship,
)
from shared.demo.sea.signals import busiest_stretch, shaped_noise
from shared.errors import AudioError

RATE_HZ = 24_000


def rng(seed: int = 5) -> np.random.Generator:
    """A fresh source of randomness."""
    return np.random.default_rng(seed)


def density_db(samples: Samples, low_hz: float, high_hz: float) -> float:
    """Mean power spectral density within a band, in dB."""
    frequency_hz, power = signal.welch(samples, RATE_HZ, nperseg=2048)
    return float(10 * np.log10(power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].mean()))


def test_sea_noise_has_the_level_asked_for() -> None:
    """The RMS level is the one in the arguments, whatever the length."""
    for duration_s in (0.5, 30.0):
        assert level_dbfs(sea_noise(duration_s, RATE_HZ, rng(), level_dbfs=-33.0)) == pytest.approx(-33.0, abs=0.01)


def test_wind_noise_falls_by_the_slope_asked_for() -> None:
    """From 1-2 to 4-8 kHz, two octaves, the density falls twice the slope per octave when there is no hiss."""
    noise = sea_noise(30, RATE_HZ, rng(), slope_db_per_octave=-5.5, hiss_db=-90, waves=False)

    fall_db = density_db(noise, 4000, 4400) - density_db(noise, 1000, 1100)

    assert fall_db == pytest.approx(-11.0, abs=0.7)


def test_low_frequencies_dominate_the_sea_and_hiss_is_flat() -> None:
    """Distant traffic stands above wind, and where hiss is strong it levels the top of the spectrum."""
    noise = sea_noise(20, RATE_HZ, rng(), hiss_db=-10)

    assert density_db(noise, 40, 120) > density_db(noise, 1000, 1200) + 8
    assert density_db(noise, 10_000, 11_500) == pytest.approx(density_db(noise, 7000, 8000), abs=1.0)


def test_long_noise_has_no_seams() -> None:
    """Noise longer than one block keeps its power where blocks fade into each other."""
    noise = shaped_noise(2**21, RATE_HZ, rng(), np.zeros_like)

    power = np.square(noise).reshape(-1, 2**13).mean(axis=1)

    assert power.mean() == pytest.approx(1.0, abs=0.02)
    assert power.min() > 0.85
    assert power.max() < 1.15


def test_clicks_stand_out_of_the_noise() -> None:
    """Clicks raise the peaks, and none are there unless asked for."""
    quiet, clicking = (sea_noise(10, RATE_HZ, rng(), clicks_per_s=rate) for rate in (0.0, 2.0))

    assert np.abs(quiet).max() < 6 * quiet.std()
    assert np.abs(clicking).max() > 8 * quiet.std()


@pytest.mark.parametrize("kind", [*CALL_KINDS, None])
def test_calls_have_the_length_and_band_of_pulsed_calls(kind: str | None) -> None:
    """Peak 1, 0.3-3 s of energy, nine tenths of it between 500 Hz and 10 kHz, none lost below."""
    for seed in range(4):
        call = orca_call(RATE_HZ, rng(seed), kind=kind, range_km=0.5)

        active = busiest_stretch(call)
        assert np.abs(call).max() == pytest.approx(1.0)
        assert 0.2 < (active.stop - active.start) / RATE_HZ < 3.0
        assert band_energy(call, RATE_HZ) > 0.8 * band_energy(call, RATE_HZ, (0, RATE_HZ))
        assert band_energy(call, RATE_HZ, (1000, 6000)) > 0.5 * band_energy(call, RATE_HZ)


def test_a_call_shows_harmonics_of_its_pulse_rate() -> None:
    """A call of kind s16, pulsed at about 1100 Hz, has its power at multiples of that rate and little between them."""
    call = orca_call(RATE_HZ, rng(), kind="s16", range_km=0.2)
    middle = call[call.size // 3 : call.size // 3 + 4096] * np.hanning(4096)
    power = np.abs(np.fft.rfft(middle)) ** 2
    frequency_hz = np.fft.rfftfreq(4096, 1 / RATE_HZ)
    candidates = np.arange(900, 1300, 5.0)

    def on_harmonics(rate_hz: float) -> float:
        nearest = np.abs(frequency_hz / rate_hz - np.round(frequency_hz / rate_hz)) * rate_hz
        return float(power[(nearest < 30) & (frequency_hz > 500)].sum())

    best = max(on_harmonics(rate_hz) for rate_hz in candidates)

    assert best > 0.9 * power[frequency_hz > 500].sum()


def test_an_unknown_kind_is_named_in_the_error() -> None:
    """Asking for a call that is not known says so, and which are."""
    with pytest.raises(AudioError, match=r"'s99'.*s16"):
        orca_call(RATE_HZ, rng(), kind="s99")


def test_distance_takes_the_high_frequencies_first() -> None:
    """Absorption by Thorp's formula: at 10 kHz 1.16 dB per km, next to nothing at 1 kHz."""
    impulse = np.zeros(RATE_HZ, dtype=np.float32)
    impulse[5000] = 1

    near, far = (at_distance(impulse, RATE_HZ, rng(), range_km)[4988:5012] for range_km in (0.001, 20.0))
    lost_db = 20 * np.log10(np.abs(np.fft.rfft(near)) / np.abs(np.fft.rfft(far)))

    assert lost_db[10] - lost_db[1] == pytest.approx(20 * (1.16 - 0.07), abs=3)


@pytest.mark.parametrize("name", CONFUSERS)
def test_confusers_have_the_length_asked_for(name: str) -> None:
    """Each confuser gives exactly the duration, finite, with peak 1, and no louder part outside it."""
    sound = CONFUSERS[name](3.0, RATE_HZ, rng(11))

    assert sound.dtype == np.float32
    assert sound.size == 3 * RATE_HZ
    assert np.abs(sound).max() == pytest.approx(1.0)


def test_the_squeak_stays_where_it_fools_detectors() -> None:
    """Nearly all of the squeak's power lies at 4.3-5.3 kHz."""
    squeak = CONFUSERS["squeak"](5.0, RATE_HZ, rng())

    assert band_energy(squeak, RATE_HZ, (4300, 5300)) > 0.95 * band_energy(squeak, RATE_HZ, (0, RATE_HZ))


def test_a_ship_rises_and_falls_around_its_closest_point() -> None:
    """Loudest, at the level asked for, when it is nearest; much weaker a minute away on either side."""
    sound = ship(150, RATE_HZ, rng(), level_dbfs=-20, closest_s=75, closest_m=150, speed_m_s=9)

    early, near, late = (level_dbfs(sound[at_s * RATE_HZ :][: 5 * RATE_HZ]) for at_s in (5, 73, 140))

    assert near == pytest.approx(-20, abs=1.5)
    assert early < near - 6
    assert late < near - 6


def test_a_ship_swells_at_its_blade_rate() -> None:
    """The envelope of the cavitation noise has its strongest line at the blade rate."""
    sound = ship(30, RATE_HZ, rng(), blade_rate_hz=9.0)

    band = signal.sosfilt(signal.butter(4, (1500, 9000), "bandpass", fs=RATE_HZ, output="sos"), sound)
    envelope = np.abs(band).reshape(-1, RATE_HZ // 200).mean(axis=1)
    frequency_hz, power = signal.welch(envelope - envelope.mean(), 200, nperseg=2048)
    inside = (frequency_hz > 5) & (frequency_hz < 15)

    assert frequency_hz[inside][np.argmax(power[inside])] == pytest.approx(9.0, abs=0.2)


@given(snr_db=st.floats(-20, 30), at_s=st.floats(0, 3.0), seed=st.integers(0, 50))
def test_mix_keeps_the_ratio_it_was_asked_for(snr_db: float, at_s: float, seed: int) -> None:
    """What was added has the stated ratio to the noise in band over its 90 % duration; the rest is untouched."""
    noise = rng(seed).standard_normal(5 * RATE_HZ, dtype=np.float32)
    call = np.sin(2 * np.pi * 2000 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)

    added = mix(call, noise, snr_db, sample_rate_hz=RATE_HZ, at_s=at_s) - noise

    start = round(at_s * RATE_HZ)
    active = slice(start + RATE_HZ // 20, start + RATE_HZ - RATE_HZ // 20)
    got = 10 * np.log10(band_energy(added[active], RATE_HZ) / band_energy(noise[active], RATE_HZ))
    assert got == pytest.approx(snr_db, abs=0.3)
    assert np.all(added[:start] == 0)


def test_mix_refuses_what_has_no_ratio() -> None:
    """Silence, and a sound that starts outside the noise, are named in the error."""
    noise = sea_noise(1, RATE_HZ, rng())

    with pytest.raises(AudioError, match="silent"):
        mix(np.zeros(100, dtype=np.float32), noise, 0, sample_rate_hz=RATE_HZ)
    with pytest.raises(AudioError, match="does not start within"):
        mix(noise, noise, 0, sample_rate_hz=RATE_HZ, at_s=1.5)


def test_the_same_seed_gives_the_same_samples() -> None:
    """Every sound is a pure function of its arguments and its source of randomness."""

    def everything(seed: int) -> list[Samples]:
        source = rng(seed)
        return [
            sea_noise(2, RATE_HZ, source, clicks_per_s=1),
            orca_call(RATE_HZ, source),
            ship(5, RATE_HZ, source),
            *(make(2.0, RATE_HZ, source) for make in CONFUSERS.values()),
        ]

    first, again, other = everything(1), everything(1), everything(2)

    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("sample_rate_hz", [16_000, 20_000, 44_100, 48_000])
def test_any_sample_rate_will_do(sample_rate_hz: int) -> None:
    """Calls and confusers stay within full scale and free of NaN at the rates models and stations use."""
    sounds = [orca_call(sample_rate_hz, rng(), kind=kind) for kind in CALL_KINDS]
    sounds += [make(1.0, sample_rate_hz, rng()) for make in CONFUSERS.values()]

    assert all(np.isfinite(sound).all() and np.abs(sound).max() <= 1.0 for sound in sounds)


def test_a_sound_of_no_length_is_refused() -> None:
    """Asking for less than one sample is an error that says so."""
    with pytest.raises(AudioError, match="no samples"):
        sea_noise(0.0, RATE_HZ, rng())
