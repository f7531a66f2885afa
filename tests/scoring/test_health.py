"""Telling a sea from silence and from the hum of the mains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import welch

from shared.scoring.audio import Waveform, read_blocks
from shared.scoring.health import _spectrum, assess

RATE = 48_000
DURATION_S = 10


def noise(level_dbfs: float, *, seed: int = 0) -> NDArray[np.float32]:
    """White noise of an RMS level."""
    white = np.random.default_rng(seed).standard_normal(RATE * DURATION_S)
    return np.asarray(white * 10 ** (level_dbfs / 20), np.float32)


def hum(level_dbfs: float, mains_hz: float, *, harmonics: int = 9) -> NDArray[np.float32]:
    """Mains hum whose n-th odd harmonic is 1/n as strong as the line itself."""
    at_s = np.arange(RATE * DURATION_S) / RATE
    sines = sum(np.sin(2 * np.pi * mains_hz * n * at_s) / n for n in range(1, 2 * harmonics, 2))
    return np.asarray(np.asarray(sines) * np.sqrt(2) * 10 ** (level_dbfs / 20), np.float32)


def state(*channels: NDArray[np.float32]) -> str:
    """The state of a clip of these channels."""
    return assess(Waveform(np.stack(channels), RATE)).state


@pytest.mark.parametrize(
    ("segment", "expected"),
    [(1791, "silent"), (1815, "unintelligible"), (1816, "unintelligible")]
    + [(n, "online") for n in (385, 839, 1184, 2289, 2649, 3368, 3504, 6079, 7372)],
)
def test_the_real_segments_are_what_their_monitor_says(shared_dir: Path, segment: int, expected: str) -> None:
    """Orcasound's own monitor and Haro agree on every reference segment."""
    [block] = read_blocks(shared_dir / "audio" / "segments" / f"live{segment}.ts", block_s=60, overlap_s=0)

    health = assess(block.waveform)

    assert health.state == expected
    assert health.channels == block.waveform.samples.shape[0]


def test_recordings_from_everywhere_are_online(shared_dir: Path) -> None:
    """Calls, ships and noise of other recorders are sound; of all 1,069 clips three are not, too faint to hear."""
    files = sorted((shared_dir / "audio" / "training").glob("*.flac"))[::12]
    states = [assess(next(iter(read_blocks(file, block_s=10, overlap_s=0))).waveform).state for file in files]

    assert len(states) > 80
    assert states.count("online") >= len(states) - 1


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_hum_over_electronics_is_unintelligible(mains_hz: float) -> None:
    """Mains of either continent over a converter's own noise carry no sea."""
    assert state(noise(-75) + hum(-40, mains_hz)) == "unintelligible"


@pytest.mark.parametrize("mains_hz", [50.0, 60.0])
def test_a_sea_under_hum_is_online(mains_hz: float) -> None:
    """A call is heard beside a hum, as long as there is sea to hear where orcas call."""
    health = assess(Waveform((noise(-45) + hum(-30, mains_hz, harmonics=2))[np.newaxis], RATE))

    assert health.state == "online"
    assert health.hum_ratio == pytest.approx(0.97, abs=0.02)


def test_a_buzz_that_drowns_the_call_band_is_unintelligible() -> None:
    """Harmonics through the whole call band, far above a sea that would do by itself, leave nothing to hear."""
    sea, buzz = noise(-55), hum(-20, 60.0, harmonics=80)

    assert state(sea) == "online"
    assert state(sea + buzz) == "unintelligible"


def test_broadband_sound_is_no_hum() -> None:
    """Noise has power at multiples of 60 Hz too; only what stands above its surroundings counts."""
    health = assess(Waveform(noise(-30)[np.newaxis], RATE))

    assert health.hum_ratio is not None
    assert health.hum_ratio < 0.05


def test_a_tonal_call_in_silence_is_online() -> None:
    """A whistle between the mains lines is sound, even in a recording without any background."""
    at_s = np.arange(RATE * DURATION_S) / RATE

    assert state((0.01 * np.sin(2 * np.pi * 4_310 * at_s)).astype(np.float32)) == "online"


@pytest.mark.parametrize("level_dbfs", [-75.0, -120.0])
def test_electronics_alone_are_silent(level_dbfs: float) -> None:
    """Nothing but a converter's noise is silence, whatever it is worth."""
    health = assess(Waveform(noise(level_dbfs)[np.newaxis], RATE))

    assert health.state == "silent"
    assert health.level_dbfs == pytest.approx(level_dbfs, abs=0.1)


def test_the_level_is_the_root_mean_square_of_all_samples() -> None:
    """A short bang counts for what it is, wherever it falls; DC counts for nothing."""
    clip = noise(-40)
    clip[RATE : RATE + 480] += noise(-3)[:480]

    health = assess(Waveform(clip[np.newaxis] + np.float32(0.2), RATE))

    assert health.level_dbfs == pytest.approx(20 * np.log10(clip.std()), abs=0.01)


def test_digital_silence_has_a_level() -> None:
    """All zeros are silent, with a number that JSON can carry."""
    health = assess(Waveform(np.zeros((2, RATE), np.float32), RATE))

    assert (health.state, health.level_dbfs, health.hum_ratio) == ("silent", -160.0, 0.0)


def test_nothing_is_no_audio() -> None:
    """Without samples there is nothing to judge."""
    assert assess().state == "no_audio"
    assert assess(Waveform(np.zeros((1, 0), np.float32), RATE)).state == "no_audio"


def test_a_dead_channel_is_named_and_the_other_judged() -> None:
    """A stereo node with one dead input is online by the other."""
    health = assess(Waveform(np.stack([noise(-40), noise(-90)]), RATE))

    assert (health.state, health.channels, health.dead_channels) == ("online", 2, (1,))


def test_runs_count_by_their_length() -> None:
    """A clip of two runs has their mean power."""
    loud, quiet = Waveform(noise(-40)[np.newaxis], RATE), Waveform(noise(-60)[np.newaxis, : RATE * 5], RATE)

    expected = 10 * np.log10((2 * 10**-4.0 + 10**-6.0) / 3)
    assert assess(loud, quiet).level_dbfs == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("samples", [1, 7, 4_000])
def test_the_shortest_clips_are_judged(samples: int) -> None:
    """Less than a second of sound is enough to be judged without an error."""
    assert assess(Waveform(noise(-20)[np.newaxis, :samples], RATE)).state in {"online", "silent"}


@pytest.mark.parametrize(("rate", "seconds"), [(RATE, 3.5), (44_100, 0.5), (44_101, 2.0)])
def test_the_spectrum_is_welchs(rate: int, seconds: float) -> None:
    """Each bin's power is scipy's own, for whole seconds and less, even and odd; the level is in the result."""
    sound = np.random.default_rng(5).normal(0.1, 0.1, round(rate * seconds)).astype(np.float32)
    segment = min(rate, sound.size)

    spectrum = _spectrum(sound, segment)

    _, density = welch(sound.astype(np.float64), rate, nperseg=segment, detrend="constant")
    np.testing.assert_allclose(spectrum[1:], density[1:] * rate / segment, rtol=1e-3, atol=1e-12)
