"""Sounds that are not orcas and that a detector has been, or may be, fooled by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from shared.demo.sea.signals import (
    Samples,
    at_distance,
    faded,
    glide,
    phase_of,
    sample_count,
    shaped_noise,
    to_peak,
    wander,
)


def chain_jingle(duration_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """A mooring chain moved by the swell: bursts of strikes that each ring at a few fixed, unrelated frequencies."""
    out = np.zeros(sample_count(duration_s, sample_rate_hz), dtype=np.float32)
    modes_hz = rng.uniform(1500, min(9000, 0.42 * sample_rate_hz), 6)
    ring = np.arange(int(0.12 * sample_rate_hz)) / sample_rate_hz
    swell = wander(out.size, sample_rate_hz, rng, 3.0)
    for start in rng.integers(0, out.size, rng.poisson(duration_s * 9)):
        if swell[start] < 0.2:
            continue
        strike = sum(
            rng.uniform(0, 1)
            * np.sin(2 * np.pi * hz * ring + rng.uniform(0, 6))
            * np.exp(-ring / rng.uniform(0.005, 0.04))
            for hz in modes_hz
        )
        part = out[start : start + ring.size]
        part += np.asarray(strike * rng.lognormal(0, 0.6), dtype=np.float32)[: part.size]
    return to_peak(out)


def squeak(duration_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """A mechanical squeak at 4.4-5.2 kHz, one station's commonest false alarm (orcahello #537)."""
    out = np.zeros(sample_count(duration_s, sample_rate_hz), dtype=np.float32)
    base_hz, time_s = float(rng.uniform(4400, 5000)), float(rng.uniform(0, 0.5))
    while time_s < duration_s:
        count = sample_count(float(rng.uniform(0.15, 0.7)), sample_rate_hz)
        pitch_hz = np.clip(glide(tuple(base_hz * rng.uniform(0.96, 1.06, 4)), count), 4400, 5200)
        phase = phase_of(pitch_hz * (1 + 0.004 * wander(count, sample_rate_hz, rng, 0.02)), sample_rate_hz)
        tone = faded((np.sin(phase) * rng.uniform(0.4, 1)).astype(np.float32), sample_rate_hz, 0.03, 0.06)
        part = out[int(time_s * sample_rate_hz) :][:count]
        part += tone[: part.size]
        time_s += float(rng.uniform(0.5, 3))
    return to_peak(out)


def mains_hum(duration_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """60 Hz and its harmonics, odd ones stronger, up to 3 kHz: a fault in grounding."""
    count = sample_count(duration_s, sample_rate_hz)
    phase = phase_of(np.full(count, float(rng.choice([59.97, 60.0, 60.02]))), sample_rate_hz)
    fall = float(rng.uniform(0.6, 1.3))
    tones = (
        (1.0 if k % 2 else 0.4) * rng.uniform(0.3, 1) / k**fall * np.sin(k * phase + rng.uniform(0, 6))
        for k in range(1, 50)
    )
    return to_peak(np.asarray(sum(tones)))


def humpback_moan(duration_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """A humpback-like moan: 120-700 Hz with a few harmonics, one to three seconds, from a kilometre or two away."""
    count = sample_count(float(rng.uniform(0.8, min(3.0, max(duration_s, 0.9)))), sample_rate_hz)
    pitch_hz = glide(tuple(rng.uniform(120, 450) * np.cumprod(rng.uniform(0.75, 1.35, 4))), count)
    phase = phase_of(pitch_hz * (1 + 0.01 * wander(count, sample_rate_hz, rng, 0.1)), sample_rate_hz)
    moan = sum(np.sin(k * phase + rng.uniform(0, 6)) * 10 ** (-rng.uniform(5, 9) * (k - 1) / 20) for k in range(1, 6))
    return _placed(
        faded(np.asarray(moan, dtype=np.float32), sample_rate_hz, 0.15, 0.3), duration_s, sample_rate_hz, rng, 1.5
    )


def dolphin_whistle(duration_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """A dolphin-like whistle: one thin line that sweeps widely between 6 and 18 kHz in about a second."""
    count = sample_count(float(rng.uniform(0.4, 1.5)), sample_rate_hz)
    top_hz = min(18_000.0, 0.44 * sample_rate_hz)
    pitch_hz = np.clip(glide(tuple(rng.uniform(6_000, top_hz, 5)), count), 5_000, top_hz)
    tone = faded(np.sin(phase_of(pitch_hz, sample_rate_hz)).astype(np.float32), sample_rate_hz, 0.05, 0.08)
    return _placed(tone, duration_s, sample_rate_hz, rng, 0.4)


def echo_sounder(duration_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """Pings of one pitch at a steady rate, a few milliseconds each, with the echoes of bottom and shore."""
    out = np.zeros(sample_count(duration_s, sample_rate_hz), dtype=np.float32)
    count = sample_count(float(rng.uniform(0.004, 0.05)), sample_rate_hz)
    pitch_hz = float(rng.uniform(2_500, min(12_000, 0.42 * sample_rate_hz)))
    ping = faded(
        np.sin(phase_of(np.full(count, pitch_hz), sample_rate_hz)).astype(np.float32), sample_rate_hz, 0.001, 0.001
    )
    for start_s in np.arange(rng.uniform(0, 0.4), duration_s, rng.uniform(0.4, 2.5)):
        part = out[int(start_s * sample_rate_hz) :][:count]
        part += ping[: part.size]
    return at_distance(out, sample_rate_hz, rng, 1.0)[: out.size]


def knocks(duration_s: float, sample_rate_hz: int, rng: np.random.Generator) -> Samples:
    """Dull knocks on the mount of the hydrophone, by seal, crab or drifting kelp: below 1.5 kHz, 50 ms."""
    out = np.zeros(sample_count(duration_s, sample_rate_hz), dtype=np.float32)
    count = int(0.05 * sample_rate_hz)
    decay = np.exp(-np.arange(count) / (count / 6)).astype(np.float32)
    for start in rng.integers(0, out.size, 1 + rng.poisson(duration_s * 0.7)):
        thud = shaped_noise(count, sample_rate_hz, rng, lambda hz: -12 * np.log2(1 + hz / 400)) * decay
        part = out[start : start + count]
        part += (rng.lognormal(0, 0.5) * thud)[: part.size]
    return to_peak(out)


def _placed(
    sound: Samples, duration_s: float, sample_rate_hz: int, rng: np.random.Generator, range_km: float
) -> Samples:
    """The sound, from a distance, somewhere within `duration_s`."""
    out = np.zeros(sample_count(duration_s, sample_rate_hz), dtype=np.float32)
    heard = at_distance(sound, sample_rate_hz, rng, range_km)
    start = int(rng.uniform(0, max(out.size - heard.size, 1)))
    out[start : start + heard.size] = heard[: out.size - start]
    return to_peak(out)


Confuser = Callable[[float, int, np.random.Generator], Samples]

CONFUSERS: Mapping[str, Confuser] = MappingProxyType(
    {
        "chain_jingle": chain_jingle,
        "squeak": squeak,
        "mains_hum": mains_hum,
        "humpback_moan": humpback_moan,
        "dolphin_whistle": dolphin_whistle,
        "echo_sounder": echo_sounder,
        "knocks": knocks,
    }
)
"""By name: each takes (duration_s, sample_rate_hz, rng) and gives `duration_s` of sound, peak 1.0."""
