"""Audio files of clips."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import AudioError
from shared.scoring.audio import Run, Waveform, read_blocks
from shared.scoring.encode import encode_flac, encode_wav

RATE = 8_000
Encoder = Callable[[Sequence[Run], float], bytes]
ENCODERS = pytest.mark.parametrize("encode", [encode_flac, encode_wav])


def sound(duration_s: float, *, channels: int = 1, rate: int = RATE, seed: int = 0) -> Waveform:
    """Noise that 16 bits hold exactly."""
    steps = np.random.default_rng(seed).integers(-32_768, 32_768, (channels, round(duration_s * rate)))
    return Waveform((steps / 32_768).astype(np.float32), rate)


def decoded(data: bytes) -> Waveform:
    """What a file holds."""
    [block] = read_blocks(io.BytesIO(data), block_s=600, overlap_s=0)
    return block.waveform


@ENCODERS
@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_sound_comes_back_bit_for_bit(encode: Encoder, channels: int) -> None:
    """16-bit sound is written and read back unchanged, with its channels and its sample rate."""
    waveform = sound(2.3, channels=channels)

    back = decoded(encode([Run(waveform, 0.0)], 2.3))

    assert back.sample_rate_hz == RATE
    assert np.array_equal(back.samples, waveform.samples)


@ENCODERS
def test_gaps_are_digital_silence_in_their_place(encode: Encoder) -> None:
    """Before, between and after the runs the file is silent, so that file time is clip time."""
    first, second = sound(1, seed=1), sound(1.5, seed=2)

    back = decoded(encode([Run(first, 0.5), Run(second, 3.0)], 6.0)).samples[0]

    expected: NDArray[np.float32] = np.zeros(6 * RATE, np.float32)
    expected[RATE // 2 : RATE // 2 + RATE] = first.samples[0]
    expected[3 * RATE : 3 * RATE + 12_000] = second.samples[0]
    assert np.array_equal(back, expected)


@ENCODERS
def test_sound_beyond_the_nominal_length_is_kept(encode: Encoder) -> None:
    """The last run is never cut to the playlist's length; one that reaches into the next is cut where that begins."""
    first, last = sound(1.1, seed=1), sound(1.1, seed=2)

    back = decoded(encode([Run(first, 0.0), Run(last, 1.0)], 2.0)).samples[0]

    assert np.array_equal(back, np.concatenate([first.samples[0, :RATE], last.samples[0]]))


@ENCODERS
def test_runs_of_different_formats_share_one_file(encode: Encoder) -> None:
    """Mono beside stereo is repeated on both channels, and a lower rate is raised to the highest."""
    mono, stereo = sound(1, seed=1), sound(1, channels=2, rate=2 * RATE, seed=2)

    back = decoded(encode([Run(mono, 0.0), Run(stereo, 1.0)], 2.0))

    assert back.sample_rate_hz == 2 * RATE
    assert back.samples.shape == (2, 4 * RATE)
    assert np.array_equal(back.samples[0, : 2 * RATE], back.samples[1, : 2 * RATE])
    assert np.array_equal(back.samples[:, 2 * RATE :], stereo.samples)


@ENCODERS
def test_too_loud_is_clipped_not_wrapped(encode: Encoder) -> None:
    """Samples beyond full scale stay at full scale with their sign."""
    loud = Waveform(np.array([[1.5, -1.5, 1.0, 0.0] * 2000], np.float32), RATE)

    back = decoded(encode([Run(loud, 0.0)], 1.0)).samples[0, :4]

    assert back.tolist() == pytest.approx([1, -1, 1, 0], abs=2**-15)


@ENCODERS
def test_the_same_clip_gives_the_same_bytes(encode: Encoder) -> None:
    """Nothing but the sound goes into the file, so writing it again changes nothing."""
    assert encode([Run(sound(1), 0.2)], 2.0) == encode([Run(sound(1), 0.2)], 2.0)


def test_the_clip_is_not_changed_by_writing_it() -> None:
    """Encoding scales copies, never the samples that are scored."""
    waveform = sound(1)
    before = waveform.samples.copy()

    encode_flac([Run(waveform, 0.0)], 1.0)

    assert np.array_equal(waveform.samples, before)


def test_what_cannot_be_written_is_said() -> None:
    """No runs, or more channels than FLAC has, are clear errors."""
    with pytest.raises(AudioError, match="no runs"):
        encode_flac([], 1.0)
    with pytest.raises(AudioError, match="8 channels"):
        encode_flac([Run(sound(0.1, channels=9), 0.0)], 1.0)
