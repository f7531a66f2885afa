"""Mixing to mono, and reading recordings block by block."""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.errors import AudioError, AudioTooLarge
from shared.scoring.audio import AudioLimits, Block, Waveform, mono, read_blocks
from tests.scoring.streams import flipped, stream, video_only

RATE = 8_000


def tone(duration_s: float, *, channels: int = 1, level: float = 0.5) -> NDArray[np.float32]:
    """A tone per channel, (channels, n) float32 at RATE."""
    at_s = np.arange(round(duration_s * RATE)) / RATE
    return np.stack([level * np.sin(2 * np.pi * 300 * (k + 1) * at_s) for k in range(channels)]).astype(np.float32)


def encoded(samples: NDArray[np.float32], *, form: str, codec: str, sample_format: str, rate: int = RATE) -> bytes:
    """The samples in some container and codec."""
    file = io.BytesIO()
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[samples.shape[0]]
    with av.open(file, "w", format=form) as container:
        out = cast("av.AudioStream", container.add_stream(codec, rate=rate, layout=layout))
        out.codec_context.format = sample_format
        frame = av.AudioFrame.from_ndarray(samples.T.reshape(1, -1), format="flt", layout=layout)
        frame.sample_rate = rate
        for converted in av.AudioResampler(format=sample_format, layout=layout, rate=rate).resample(frame):
            container.mux(out.encode(converted))
        container.mux(out.encode(None))
    return file.getvalue()


def read(data: bytes, *, block_s: float = 100.0, overlap_s: float = 0.0) -> list[Block]:
    """All blocks of a recording."""
    return list(read_blocks(io.BytesIO(data), block_s=block_s, overlap_s=overlap_s))


def error_of(source: Path) -> str:
    """What reading the file complains of."""
    with pytest.raises(AudioError) as caught:
        list(read_blocks(source, block_s=1.0, overlap_s=0.0))
    return str(caught.value)


def test_mono_is_the_mean_of_the_channels() -> None:
    """Two living channels are averaged."""
    both = np.stack([tone(1)[0], tone(1, level=0.1)[0]])

    mixed, dead = mono(Waveform(both, RATE))

    assert dead == ()
    assert np.array_equal(mixed, both.mean(axis=0))


@pytest.mark.parametrize(
    "dead",
    [
        np.zeros(RATE, np.float32),
        np.full(RATE, 0.25, np.float32),
        (np.random.default_rng(0).standard_normal(RATE) * 10 ** (-71 / 20)).astype(np.float32),
        tone(1, level=0.001)[0],
    ],
    ids=["digital silence", "only DC", "only electronics", "cross-talk"],
)
def test_a_dead_channel_is_left_out(dead: NDArray[np.float32]) -> None:
    """With one dead channel of two, the mix is the living one at its own level."""
    alive = tone(1, level=0.2)[0]

    mixed, dead_channels = mono(Waveform(np.stack([dead, alive]), RATE))

    assert dead_channels == (0,)
    assert np.array_equal(mixed, alive)


@pytest.mark.parametrize(
    ("first_db", "second_db"), [(-20, -45), (-62, -75), (-80, -80), (-300, -300)], ids=["loud", "near", "equal", "none"]
)
def test_a_quiet_channel_is_not_dead(first_db: float, second_db: float) -> None:
    """A channel is kept while it is above the floor, or not far below the loudest; equal silence kills none."""
    levels = [np.sqrt(2) * 10 ** (db / 20) for db in (first_db, second_db)]
    both = np.stack([tone(1, level=level)[0] for level in levels])

    mixed, dead_channels = mono(Waveform(both, RATE))

    assert dead_channels == ()
    assert np.array_equal(mixed, both.mean(axis=0))


def test_a_lone_channel_is_taken_without_a_copy() -> None:
    """A mono clip is its own mix, in the same memory."""
    waveform = Waveform(tone(1), RATE)

    mixed, dead = mono(waveform)

    assert dead == ()
    assert np.shares_memory(mixed, waveform.samples)


def test_the_real_stereo_segment_has_no_dead_channel(shared_dir: Path) -> None:
    """Both channels of live3368 are alive; with one of them muted, the other is taken alone."""
    [block] = read_blocks(shared_dir / "audio" / "segments" / "live3368.ts", block_s=60, overlap_s=0)
    muted = block.waveform.samples.copy()
    muted[1] = 0

    assert mono(block.waveform)[1] == ()
    assert mono(Waveform(muted, 48_000))[1] == (1,)


@pytest.mark.parametrize(
    ("form", "codec", "sample_format", "tolerance"),
    [
        ("wav", "pcm_s16le", "s16", 2**-15),
        ("wav", "pcm_s24le", "s32", 2**-23),
        ("wav", "pcm_f32le", "flt", 0),
        ("wav", "pcm_f64le", "dbl", 1e-7),
        ("wav", "pcm_u8", "u8", 2**-6),
        ("flac", "flac", "s16", 2**-15),
        ("aiff", "pcm_s16be", "s16", 2**-15),
        ("wv", "wavpack", "s16p", 2**-15),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_formats_come_back_as_they_were(
    form: str, codec: str, sample_format: str, tolerance: float, channels: int
) -> None:
    """Every sample format of WAV, FLAC, AIFF and WavPack is read at full scale 1.0, channel by channel."""
    samples = tone(0.5, channels=channels)

    [block] = read(encoded(samples, form=form, codec=codec, sample_format=sample_format))

    assert block.waveform.sample_rate_hz == RATE
    assert block.waveform.samples.dtype == np.float32
    assert block.waveform.samples.shape == samples.shape
    assert np.abs(block.waveform.samples - samples).max() <= tolerance


def test_eight_channels_are_read_each_from_its_plane() -> None:
    """As many channels as FFmpeg has room for in a frame are told from what lies behind them in memory."""
    samples = tone(0.5, channels=8)

    [block] = read(encoded(samples, form="wv", codec="wavpack", sample_format="s16p"))

    assert block.waveform.samples.shape == samples.shape
    assert np.abs(block.waveform.samples - samples).max() <= 2**-15


@pytest.mark.parametrize(
    ("form", "codec", "sample_format"),
    [
        ("mp3", "mp3", "fltp"),
        ("ogg", "opus", "flt"),
        ("mp4", "aac", "fltp"),
        ("webm", "opus", "flt"),
        ("mpegts", "aac", "fltp"),
    ],
)
def test_compressed_formats_are_read(form: str, codec: str, sample_format: str) -> None:
    """MP3, Ogg, MP4, Matroska and MPEG-TS give the sound back, as long as it was to within the codec's delay."""
    codec = {"opus": "libopus", "mp3": "libmp3lame"}.get(codec, codec)
    samples = np.tile(tone(1.0, channels=2), (1, 3))

    [block] = read(encoded(samples, form=form, codec=codec, sample_format=sample_format, rate=48_000))

    assert block.waveform.duration_s == pytest.approx(samples.shape[1] / 48_000, abs=0.08)
    assert block.waveform.samples.std() == pytest.approx(samples.std(), rel=0.2)


@settings(max_examples=60)
@given(length=st.integers(1, 400), step=st.integers(1, 150), overlap=st.integers(0, 200), chunk=st.integers(1, 3))
def test_blocks_cover_the_recording(length: int, step: int, overlap: int, chunk: int) -> None:
    """Block k holds [k * step, (k + 1) * step + overlap), each brings something new, and only the last is the last."""
    samples = (np.arange(length * chunk) % 30_000).astype(np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, RATE, 0, "NONE", ""))
        writer.writeframes(samples.tobytes())

    blocks = read(file.getvalue(), block_s=step / RATE, overlap_s=overlap / RATE)

    covered = 0
    for k, block in enumerate(blocks):
        held = np.rint(block.waveform.samples[0] * 32_768).astype(np.int16)
        assert np.array_equal(held, samples[k * step : (k + 1) * step + overlap])
        assert block.start_s == pytest.approx(k * step / RATE)
        end = k * step + held.size
        assert end > covered
        covered = end
    assert covered == samples.size
    assert [block.is_last for block in blocks] == [False] * (len(blocks) - 1) + [True]


def test_damaged_packets_keep_their_time() -> None:
    """Packets lost in the middle of a recording are silence of the same length, so that what follows stays in place."""
    whole = b"".join(stream(4))
    damaged = whole[:50_000] + flipped(whole[50_000:80_000], bits=3_000, seed=3) + whole[80_000:]

    [sound], [hurt] = read(whole), read(damaged)

    assert hurt.waveform.duration_s == pytest.approx(sound.waveform.duration_s, abs=0.15)
    tail = slice(-8_000, None)
    shifts = np.correlate(sound.waveform.samples[0, -16_000:], hurt.waveform.samples[0, tail], "valid")
    assert int(shifts.argmax()) == pytest.approx(8_000, abs=2)


def write(path: Path, data: bytes) -> Path:
    """A file of these bytes."""
    path.write_bytes(data)
    return path


def test_what_is_no_recording_is_said_clearly(tmp_path: Path) -> None:
    """A missing, empty or unreadable file, a folder, text, a film without sound: each error names it and what to do."""
    wav_header_only = encoded(tone(0.1), form="wav", codec="pcm_s16le", sample_format="s16")[:44]
    complaints = {
        tmp_path / "nowhere.wav": "no such file",
        tmp_path: "is a folder",
        write(tmp_path / "empty.wav", b""): "is empty",
        write(tmp_path / "notes.txt", b"heard them at noon\n" * 100): "audio",
        write(tmp_path / "garbage.flac", np.random.default_rng(0).bytes(4000)): "It is damaged",
        write(tmp_path / "film.ts", video_only()): "no audio stream",
        write(tmp_path / "cut.wav", wav_header_only): "It is damaged",
    }

    said = {path: error_of(path) for path in complaints}

    for path, expected in complaints.items():
        assert expected in said[path]
        assert str(path) in said[path]
        assert said[path].count(".") > str(path).count(".")  # a sentence of advice follows


def test_a_file_that_names_other_files_reads_none_of_them(tmp_path: Path) -> None:
    """A playlist dressed as a recording cannot make Haro open what it names."""
    secret = write(tmp_path / "other.wav", encoded(tone(1), form="wav", codec="pcm_s16le", sample_format="s16"))
    playlists: Sequence[bytes] = (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode(),
        f"ffconcat version 1.0\nfile {secret.name}\n".encode(),
    )

    for text in playlists:
        assert "cannot be read as audio" in error_of(write(tmp_path / "list.wav", text))


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe has no length and may never end: it is refused instead of waited for."""
    os.mkfifo(tmp_path / "pipe")

    assert "no regular file" in error_of(tmp_path / "pipe")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e30])
def test_numbers_that_are_none_are_refused(tmp_path: Path, wrong: float) -> None:
    """A float WAV with NaN, infinite or absurd samples is refused by name."""
    samples = tone(0.5)
    samples[0, 100] = wrong
    path = write(tmp_path / "nan.wav", encoded(samples, form="wav", codec="pcm_f32le", sample_format="flt"))

    assert "no sound" in error_of(path)


def test_rates_no_hydrophone_has_are_refused(tmp_path: Path) -> None:
    """A sample rate below 4 kHz is refused with the range that is taken."""
    path = write(
        tmp_path / "slow.wav", encoded(tone(0.5), form="wav", codec="pcm_s16le", sample_format="s16", rate=2000)
    )

    assert "4000 to 384000 Hz" in error_of(path)


def test_limits_on_bytes_and_seconds(tmp_path: Path) -> None:
    """More bytes than allowed are refused before reading, more seconds as soon as they are reached."""
    path = write(tmp_path / "long.wav", encoded(tone(4), form="wav", codec="pcm_s16le", sample_format="s16"))

    def blocks(limits: AudioLimits) -> list[float]:
        return [block.start_s for block in read_blocks(path, block_s=1, overlap_s=0, limits=limits)]

    with pytest.raises(AudioTooLarge, match="bytes"):
        blocks(AudioLimits(1000, 600))
    with pytest.raises(AudioTooLarge, match="longer than the 3 s"):
        blocks(AudioLimits(10**6, 3))
    assert blocks(AudioLimits(10**6, 4)) == [0, 1, 2, 3]
