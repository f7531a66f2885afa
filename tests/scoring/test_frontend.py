"""The front end against torchaudio's features, against features from the formulas alone, and in its rules."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from shared.errors import AudioError, ModelError
from shared.scoring.audio import Samples
from shared.scoring.frontend import ORCAHELLO_2S, ORCAHELLO_3S, LogMel, peak_normalize
from shared.scoring.model_file import FrontEnd
from shared.scoring.resampling import resample
from tests.scoring.golden.make_golden import GOLDEN, KEEP_EVERY, SOURCE_RATE_HZ, synthetic_sound
from tests.scoring.golden.make_librosa import FRONT_ENDS, LIBROSAS, one_second

AGREEMENT_DB = 0.01
EMPTY_ROWS = slice(238, 256)


@pytest.fixture(scope="module")
def two_seconds() -> LogMel:
    """OrcaHello's first front end."""
    return LogMel(ORCAHELLO_2S)


def features(samples: Samples, rate_hz: int, params: FrontEnd) -> np.ndarray:
    """A clip's features, from samples as recorded."""
    clip = resample(samples, rate_hz, params.sample_rate_hz)
    return LogMel(params).mel_db(peak_normalize(clip) if params.peak_normalize else clip)


@pytest.mark.parametrize("name", ["live3368", "live6079"])
@pytest.mark.parametrize(("array", "params"), [("mel_db_2s_1s", ORCAHELLO_2S), ("mel_db_3s_2s_peaknorm", ORCAHELLO_3S)])
def test_agrees_with_torchaudio(shared_dir: Path, name: str, array: str, params: FrontEnd) -> None:
    """Every cell of real recordings, one of them stereo, is within 0.01 dB of torchaudio's."""
    folder = shared_dir / "reference" / "frontend"
    rate_hz, recorded = wavfile.read(folder / f"{name}.wav")
    mono = (recorded.reshape(len(recorded), -1) / 2**15).mean(axis=1, dtype=np.float64).astype(np.float32)

    ours = features(mono, rate_hz, params)

    theirs = np.load(folder / f"{name}.npz")[array]
    assert theirs.shape == ours.shape
    assert np.abs(theirs - ours).max() <= AGREEMENT_DB


@pytest.mark.parametrize(
    ("array", "params"), [("mel_mdb_2s_1s", ORCAHELLO_2S), ("mel_mdb_3s_2s_peaknorm", ORCAHELLO_3S)]
)
def test_agrees_with_the_formulas(array: str, params: FrontEnd) -> None:
    """A synthetic sound's features equal those worked out in float64 from the definitions, resampling included."""
    ours = features(synthetic_sound().astype(np.float32), SOURCE_RATE_HZ, params)

    theirs = np.load(GOLDEN)[array] / 1000
    assert theirs.shape == ours[..., ::KEEP_EVERY].shape
    assert np.abs(theirs - ours[..., ::KEEP_EVERY]).max() <= AGREEMENT_DB


@pytest.mark.parametrize("name", FRONT_ENDS)
def test_agrees_with_librosa(name: str) -> None:
    """STFT and filters give what librosa's own functions gave: its names and conventions are those of the field."""
    ours = LogMel(FRONT_ENDS[name]).mel_db(one_second())[0]

    theirs = np.load(LIBROSAS)[name] / 10_000
    assert theirs.shape == ours.shape
    assert np.abs(ours - theirs).max() <= 0.001


def test_a_first_window_compiles_nothing() -> None:
    """Neither features nor picture load the part of librosa that compiles for 17 s on a machine that never ran it."""
    program = (
        "import sys, numpy as np\n"
        "from shared.scoring.frontend import ORCAHELLO_3S, LogMel\n"
        "import shared.scoring.spectrogram\n"
        "LogMel(ORCAHELLO_3S).mel_db(np.ones(60_000, dtype=np.float32))\n"
        "sys.exit('librosa.util.utils' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_first_score_loads_no_scipy_signal() -> None:
    """Resampling, features and health do without what takes most of a second to import in each new process."""
    program = (
        "import sys, numpy as np\n"
        "import shared.scoring.score\n"
        "from shared.scoring.audio import Waveform\n"
        "from shared.scoring.frontend import ORCAHELLO_3S, LogMel\n"
        "from shared.scoring.health import assess\n"
        "from shared.scoring.resampling import resample\n"
        "sound = np.ones(144_000, dtype=np.float32)\n"
        "LogMel(ORCAHELLO_3S).mel_db(resample(sound, 48_000, 20_000))\n"
        "assess(Waveform(sound[None], 48_000))\n"
        "sys.exit('scipy.signal' in sys.modules)\n"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_empty_filters_lie_at_the_floor(two_seconds: LogMel) -> None:
    """The 18 rows above OrcaHello's 8 kHz filterbank are the window's maximum less 100 dB, no other row is."""
    noise = np.random.default_rng(1).standard_normal(40_000).astype(np.float32)

    window = two_seconds.mel_db(noise)[0]

    assert np.all(window[EMPTY_ROWS] == window.max() - np.float32(100))
    assert np.all(window[: EMPTY_ROWS.start] > window.max() - 100)


@pytest.mark.parametrize(
    ("params", "duration_s", "count"),
    [(ORCAHELLO_2S, 60.0107, 59), (ORCAHELLO_2S, 59.989, 58), (ORCAHELLO_3S, 60.0107, 29), (ORCAHELLO_3S, 59.0, 29)],
)
def test_counts_windows_as_orcahello_does(params: FrontEnd, duration_s: float, count: int) -> None:
    """Six segments, of 60.01 s or 59.99 s, give OrcaHello's numbers of windows."""
    starts_s = LogMel(params).window_starts_s(round(duration_s * params.sample_rate_hz))

    assert len(starts_s) == count
    assert starts_s == [k * params.hop_s for k in range(count)]


@given(n_samples=st.integers(0, 2_000_000))
def test_windows_are_whole_and_none_is_left_out(two_seconds: LogMel, n_samples: int) -> None:
    """Every window ends within the sound, and one more would not; only a short sound has a short window."""
    starts = [round(start_s * 20_000) for start_s in two_seconds.window_starts_s(n_samples)]

    if n_samples < two_seconds.min_samples:
        assert starts == []
    elif n_samples < 40_000:
        assert starts == [0]
    else:
        assert starts[-1] + 40_000 <= n_samples < starts[-1] + 20_000 + 40_000


@pytest.mark.parametrize("n_samples", [1281, 1700, 2559, 2560, 39_999])
def test_a_short_sound_is_one_short_window(two_seconds: LogMel, n_samples: int) -> None:
    """Sound shorter than a window is scored too, with the frames it has."""
    tone = np.sin(np.arange(n_samples)).astype(np.float32)

    mel = two_seconds.mel_db(tone)

    assert mel.shape == (1, 256, 1 + n_samples // 256)
    assert two_seconds.model_input(mel).shape == (1, 256, 312)


@given(
    n_fft=st.integers(63, 66),
    hop_length=st.integers(1, 40),
    window=st.integers(66, 300),
    n_samples=st.integers(34, 999),
)
def test_the_shape_is_known_beforehand(n_fft: int, hop_length: int, window: int, n_samples: int) -> None:
    """How many windows and frames there will be is told from the number of samples alone, for odd FFTs too."""
    changes = {"n_fft": n_fft, "hop_length": hop_length, "n_mels": 2, "window_s": window / 20_000, "hop_s": 0.01}
    log_mel = LogMel(ORCAHELLO_2S.model_copy(update=changes))

    assert log_mel.mel_db(np.zeros(n_samples, np.float32)).shape == log_mel.shape(n_samples)


def test_too_short_a_sound_is_refused(two_seconds: LogMel) -> None:
    """Half an FFT of sound cannot be framed: the error says how much is needed."""
    with pytest.raises(AudioError, match=r"too short to score: 0\.064 s, and at least 0\.064 s"):
        two_seconds.mel_db(np.zeros(1280, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(two_seconds: LogMel, value: float) -> None:
    """A broken float recording is an error, not a score."""
    samples = np.zeros(40_000, np.float32)
    samples[7] = value

    with pytest.raises(AudioError, match="no number"):
        two_seconds.mel_db(peak_normalize(samples))


def test_silence_is_one_level(two_seconds: LogMel) -> None:
    """Digital silence is -100 dB everywhere, and peak normalisation leaves it alone."""
    silence = np.zeros(40_000, np.float32)

    assert np.all(two_seconds.mel_db(peak_normalize(silence)) == -100)


def test_zero_padding_follows_the_sound(two_seconds: LogMel) -> None:
    """A 2-s window is 157 frames of sound and 155 columns of 0 dB, as OrcaHello's network expects."""
    mel = np.full((3, 256, 157), -40, np.float32)

    padded = two_seconds.model_input(mel)

    assert padded.shape == (3, 256, 312)
    assert np.all(padded[..., :157] == -40)
    assert np.all(padded[..., 157:] == 0)


def test_row_mean_padding_repeats_each_rows_level() -> None:
    """With `row_mean` each mel row goes on at its own mean."""
    mel = np.random.default_rng(2).standard_normal((2, 256, 100)).astype(np.float32)

    padded = LogMel(ORCAHELLO_2S.model_copy(update={"pad": "row_mean"})).model_input(mel)

    assert np.allclose(padded[..., 100:], mel.mean(axis=-1, keepdims=True))


def test_a_long_window_is_cut_from_its_start(two_seconds: LogMel) -> None:
    """More frames than the model takes: the first ones stay."""
    mel = np.arange(256 * 400, dtype=np.float32).reshape(1, 256, 400)

    assert np.array_equal(two_seconds.model_input(mel), mel[..., :312])


@settings(max_examples=20)
@given(gain_db=st.floats(-60, 40), seed=st.integers(0, 2**32 - 1))
def test_peak_normalisation_takes_gain_away(gain_db: float, seed: int) -> None:
    """The same sound, louder or fainter, gives the same peak-normalised samples."""
    sound = np.random.default_rng(seed).standard_normal(1000).astype(np.float32)
    gained = sound * np.float32(10 ** (gain_db / 20))

    assert np.allclose(peak_normalize(gained), peak_normalize(sound), rtol=1e-6, atol=1e-7)
    assert np.abs(peak_normalize(gained)).max() == 1.0


@settings(max_examples=10)
@given(gain_db=st.floats(-20, 20))
def test_gain_shifts_every_cell_alike(two_seconds: LogMel, gain_db: float) -> None:
    """Without peak normalisation a gain of g dB raises every cell by g dB, the floor with it."""
    sound = 0.1 * np.random.default_rng(3).standard_normal(40_000).astype(np.float32)

    louder = two_seconds.mel_db(sound * np.float32(10 ** (gain_db / 20)))

    assert np.allclose(louder - two_seconds.mel_db(sound), gain_db, atol=1e-3)


def test_each_window_stands_alone(two_seconds: LogMel) -> None:
    """What lies outside a window does not change it: the floor is the window's own."""
    sound = 0.01 * np.random.default_rng(4).standard_normal(80_000).astype(np.float32)
    shouting = sound.copy()
    shouting[70_000:] *= 100

    assert np.array_equal(two_seconds.mel_db(shouting)[:2], two_seconds.mel_db(sound)[:2])


def test_windows_of_broken_samples_are_refused() -> None:
    """A model whose hop is no whole number of samples has no exact grid: it is refused when it is loaded."""
    with pytest.raises(ModelError, match=r"hop_s 0\.33333 is no whole number of samples at 20000 Hz"):
        LogMel(ORCAHELLO_2S.model_copy(update={"hop_s": 0.33333}))
