"""Segments of a batch to runs of sound."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.scoring.audio import AudioLimits
from shared.scoring.segments import DecodedClip, Part, decode_segments
from tests.scoring.streams import (
    FRAME,
    FRAMES_PER_SEGMENT,
    SEGMENT_S,
    flipped,
    noise,
    parts,
    stream,
    ts_segments,
    video_only,
)

LIMITS = AudioLimits(max_bytes=10_000_000, max_duration_s=600)
SAMPLES = FRAMES_PER_SEGMENT * FRAME


def decode(data: list[bytes | None], *, duration_s: float = SEGMENT_S) -> DecodedClip:
    """Decode a batch with roomy limits."""
    return decode_segments(parts(data, duration_s=duration_s), LIMITS)


def player(data: bytes) -> NDArray[np.float32]:
    """What a player makes of the bytes: PyAV's own words, nothing of Haro's."""
    with av.open(io.BytesIO(data), "r") as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)


def reason(clip: DecodedClip, index: int) -> str:
    """Why the segment could not be used."""
    return next(failure.reason for failure in clip.failures if failure.index == index)


@cache
def three() -> tuple[bytes, ...]:
    """Three consecutive segments."""
    return tuple(stream(3))


def test_consecutive_segments_are_one_run_as_a_player_hears_them() -> None:
    """Sound that goes on from segment to segment is decoded in one pass over the joined bytes, sample for sample."""
    clip = decode(list(three()))

    assert [run.start_s for run in clip.runs] == [0.0]
    assert clip.decoded == (0, 1, 2)
    assert clip.failures == ()
    assert np.array_equal(clip.runs[0].waveform.samples, player(b"".join(three())))


def test_the_join_has_no_click() -> None:
    """Across a join the decoded tone stays as close to the source as elsewhere; a segment by itself starts wrong."""
    at_s = np.arange(round(2 * SEGMENT_S * 16_000)) / 16_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * at_s, dtype=np.float32)[np.newaxis]
    first, second = ts_segments(tone.astype(np.float32))[:2]

    joined = decode([first, second]).runs[0].waveform.samples[0]
    alone = decode([second]).runs[0].waveform.samples[0]

    join = slice(SAMPLES, SAMPLES + FRAME)
    source = tone[0, SAMPLES - FRAME : SAMPLES]  # the encoder's own delay is one frame
    assert np.abs(joined[join] - source).max() < 0.01
    assert np.abs(alone[:FRAME] - source).max() > 0.1


def test_real_consecutive_segments_join(shared_dir: Path) -> None:
    """live1815 and live1816 of a real node are one run, as a player hears them and not as each decodes alone."""
    folder = shared_dir / "audio" / "segments"
    first, second = ((folder / f"live{n}.ts").read_bytes() for n in (1815, 1816))

    clip = decode_segments([Part(1815, first, 0.0, 9.984), Part(1816, second, 9.984, 10.005333)], LIMITS)

    assert len(clip.runs) == 1
    assert clip.first_pts_s == pytest.approx(18151.4209, abs=1e-3)
    joined = clip.runs[0].waveform.samples
    assert np.array_equal(joined, player(first + second))
    apart = np.concatenate([player(first), player(second)], axis=1)
    join = slice(468 * 1024, 469 * 1024)
    assert np.abs(joined[0, join] - apart[0, join]).max() > 10 * np.abs(np.diff(joined[0, join])).mean()


def test_real_segments_of_different_folders_are_all_kept(shared_dir: Path) -> None:
    """Where time does not go on between two sound segments, each is a run in its nominal place, mono or stereo."""
    files = sorted((shared_dir / "audio" / "segments").glob("*.ts"))

    clip = decode([file.read_bytes() for file in files], duration_s=10.0)

    assert clip.failures == ()
    assert clip.decoded == tuple(range(12))
    assert sum(run.waveform.duration_s for run in clip.runs) == pytest.approx(120, abs=0.2)
    channels = [run.waveform.samples.shape[0] for run in clip.runs]
    assert sorted(channels) == [1] * (len(channels) - 1) + [2]
    assert len(clip.runs) == 11  # 1815 and 1816 are consecutive


def damaged_segments() -> dict[str, bytes]:
    """A segment in every state that a node, a disk or a network leaves one in."""
    sound = three()[1]
    return {
        "garbage": np.random.default_rng(0).bytes(40_000),
        "empty": b"",
        "web page": b"<html><body>Not Found</body></html>" * 50,
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/hostname\n",
        "broken header": bytes(8_000) + sound[8_000:],
        "first half": sound[: len(sound) // 2],
        "cut inside a packet": sound[: int(len(sound) * 0.97)],
        "0.085 s": stream_of_frames(2),
        "flipped bits": flipped(sound, bits=40, seed=1),
        "mostly flipped": flipped(sound, bits=5000, seed=0),
        "video only": video_only(),
    }


def stream_of_frames(count: int) -> bytes:
    """A segment of `count` AAC frames, in the place of the second of `three`."""
    sound = three()[1]
    with av.open(io.BytesIO(sound), "r") as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size][:count]
        file = io.BytesIO()
        with av.open(file, "w", format="mpegts") as out:
            target = out.add_stream_from_template(container.streams.audio[0])
            for packet in packets:
                packet.stream = target
                out.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize("state", list(damaged_segments()))
def test_a_damaged_segment_costs_only_itself(state: str) -> None:
    """A segment that cannot be used is named with a reason, and its neighbours are whole and in their places."""
    first, _, third = three()

    clip = decode([first, damaged_segments()[state], third])

    assert [failure.index for failure in clip.failures] == [1]
    assert reason(clip, 1)
    assert clip.decoded == (0, 2)
    assert [run.start_s for run in clip.runs] == [0.0, 2 * SEGMENT_S]
    assert all(run.waveform.samples.shape == (1, SAMPLES) for run in clip.runs)
    assert np.array_equal(clip.runs[0].waveform.samples, player(first))


def test_a_damaged_packet_is_blamed_on_its_segment_alone() -> None:
    """Damage that only decoding finds splits the run around the one segment it lies in."""
    damaged = next(
        one for seed in range(50) if "damaged after" in damage(one := flipped(three()[1], bits=3, seed=seed))
    )

    clip = decode([three()[0], damaged, three()[2]])

    assert [failure.index for failure in clip.failures] == [1]
    assert clip.decoded == (0, 2)


def damage(data: bytes) -> str:
    """The reason why a segment cannot be used, or nothing."""
    return "".join(failure.reason for failure in decode([data]).failures)


def test_an_absent_segment_leaves_a_hole_and_is_no_failure() -> None:
    """Whoever could not fetch a segment knows why; decoding only keeps its place free."""
    clip = decode([three()[0], None, three()[2]])

    assert clip.failures == ()
    assert clip.decoded == (0, 2)
    assert [run.start_s for run in clip.runs] == [0.0, 2 * SEGMENT_S]


def test_nothing_to_decode_is_no_error() -> None:
    """A batch of which nothing could be had has no runs."""
    clip = decode([None, None])

    assert clip == DecodedClip(runs=(), failures=(), decoded=())
    assert clip.first_pts_s is None


def test_a_change_of_channels_begins_a_new_run() -> None:
    """Mono and stereo are never mixed in one run, though time goes on."""
    mono, stereo = stream(2)[0], stream(2, channels=2)[1]

    clip = decode([mono, stereo])

    assert [run.waveform.samples.shape[0] for run in clip.runs] == [1, 2]
    assert [run.start_s for run in clip.runs] == [0.0, SEGMENT_S]


def test_time_that_happens_to_go_on_after_a_hole_does_not_close_it() -> None:
    """Segments 0 and 2 are never joined, even where an encoder has stamped them as neighbours."""
    clip = decode([three()[0], None, three()[1]])

    assert [run.start_s for run in clip.runs] == [0.0, 2 * SEGMENT_S]


@pytest.mark.parametrize("place", ["between", "within"])
def test_the_clock_that_begins_anew_parts_nothing(place: str) -> None:
    """MPEG-TS time overflows after 26.5 hours, between two segments or within one: the sound still goes on."""
    overflow_s = 2**33 / 90_000 - 0.936
    inside_s = 0.0 if place == "between" else SEGMENT_S / 2

    clip = decode(list(stream(3, from_s=overflow_s - SEGMENT_S - inside_s)))

    assert clip.failures == ()
    assert [run.start_s for run in clip.runs] == [0.0]


def test_a_rounded_extinf_is_no_shortfall() -> None:
    """Old playlists give whole seconds: 3.008 s of sound under a promise of 3 s, or 2.6 s under 3 s, are sound."""
    with_rounding = decode([stream_of_frames(41)], duration_s=3.0)
    exact = decode([stream_of_frames(41)], duration_s=3.008)

    assert with_rounding.decoded == (0,)
    assert "2.624 s" in reason(exact, 0)


def test_the_limits_hold_for_the_whole_clip() -> None:
    """Segments beyond the clip's bytes or seconds are failures that name the limit; those before are kept."""
    sizes = [len(one) for one in three()]

    by_bytes = decode_segments(parts(list(three())), AudioLimits(sizes[0] + sizes[1], 600))
    by_length = decode_segments(parts(list(three())), AudioLimits(10_000_000, 4.0))

    assert by_bytes.decoded == (0, 1)
    assert "bytes" in reason(by_bytes, 2)
    assert by_length.decoded == (0,)
    assert [failure.index for failure in by_length.failures] == [1, 2]


def test_samples_out_of_all_bounds_are_damage() -> None:
    """A frame that decodes to hundreds of times full scale is no sound: it would silence all else when normalised."""
    loud = ts_segments(noise(SEGMENT_S, level=30.0))[0]

    assert "full scale" in damage(loud)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["good", "other", "absent", "garbage", "half"]), min_size=1, max_size=6))
def test_every_segment_is_accounted_for_once(states: list[str]) -> None:
    """Whatever a batch holds, each segment with bytes is decoded or a failure, and runs lie in their places."""
    consecutive, elsewhere = long_streams()
    data: list[bytes | None] = []
    for i, state in enumerate(states):
        choices = {
            "good": consecutive[i],
            "other": elsewhere[i],
            "garbage": b"x" * 5000,
            "half": consecutive[i][:20_000],
        }
        data.append(choices.get(state))

    clip = decode(data)

    failed = tuple(failure.index for failure in clip.failures)
    assert sorted(clip.decoded + failed) == [i for i, state in enumerate(states) if state != "absent"]
    assert set(clip.decoded) == {i for i, state in enumerate(states) if state in {"good", "other"}}
    assert sum(run.waveform.samples.shape[1] for run in clip.runs) == SAMPLES * len(clip.decoded)
    starts_s = [run.start_s for run in clip.runs]
    assert starts_s == sorted(starts_s)
    assert set(starts_s) <= {i * SEGMENT_S for i in clip.decoded}


@settings(max_examples=60)
@given(bits=st.integers(1, 3_000), seed=st.integers(0, 2**32))
def test_no_damage_reaches_the_neighbours(bits: int, seed: int) -> None:
    """However the bits of a segment are turned, it is decoded or a failure, and those beside it keep their sound."""
    first, second, third = three()

    clip = decode([first, flipped(second, bits=bits, seed=seed), third])

    assert {0, 2} <= set(clip.decoded)
    assert sorted([*clip.decoded, *(failure.index for failure in clip.failures)]) == [0, 1, 2]
    assert np.array_equal(clip.runs[0].waveform.samples[:, : SAMPLES - FRAME], player(first)[:, : SAMPLES - FRAME])
    assert np.array_equal(clip.runs[-1].waveform.samples[:, FRAME - SAMPLES :], player(third)[:, FRAME:])


@cache
def long_streams() -> tuple[list[bytes], list[bytes]]:
    """Two streams of six segments whose times have nothing to do with each other."""
    return stream(6), stream(6, seed=2, from_s=5_000)
