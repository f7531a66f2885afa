"""Killer whales' pulsed calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from shared.demo.sea.signals import (
    Curve,
    Samples,
    at_distance,
    faded,
    glide,
    phase_of,
    sample_count,
    shaped_noise,
    unrest,
    wander,
)
from shared.errors import AudioError


@dataclass(frozen=True)
class Part:
    """One part of a call: how its pulse rate moves, in Hz, through points at equal distances in time."""

    duration_s: float
    rate_hz: tuple[float, ...]
    level_db: float = 0.0


@dataclass(frozen=True)
class CallKind:
    """A type of call: parts in their order, and perhaps a second, higher voice from one moment to another (0-1)."""

    parts: tuple[Part, ...]
    voice_hz: tuple[float, ...] = ()
    voice_span: tuple[float, float] = (0.0, 1.0)
    voice_db: float = -4.0
    tilt_db_per_octave: float = -12.0


CALL_KINDS: Mapping[str, CallKind] = MappingProxyType(
    {
        "s1": CallKind(
            (Part(0.08, (330, 900), -8), Part(0.6, (1030, 1080, 1130)), Part(0.22, (420, 350, 300), -2)),
            (5200, 5400, 5600),
            (0.1, 0.75),
            -9,
        ),
        "s2": CallKind(
            (
                Part(0.25, (90, 110), -9),
                Part(0.3, (700, 900, 1500), -3),
                Part(0.4, (1560, 1680)),
                Part(0.2, (310, 280)),
            ),
            (3000, 7500, 4200, 5300, 5500, 5500),
            (0.1, 0.85),
            -3,
        ),
        "s3": CallKind((Part(0.75, (1060, 1090, 1080)), Part(0.1, (1080, 600), -14), Part(0.3, (340, 300), -1))),
        "s4": CallKind((Part(0.16, (24, 60), -8), Part(0.62, (150, 190, 180))), tilt_db_per_octave=-14),
        "s7": CallKind((Part(0.55, (1060, 1050, 1080)), Part(0.22, (1080, 520), -3), Part(0.3, (260, 230), -6))),
        "s10": CallKind(
            (Part(0.2, (260, 300), -6), Part(0.95, (560, 640, 520, 660, 520, 640), -5)),
            (4200, 9200, 4600, 9000, 4800, 9200, 5200),
            (0.15, 1.0),
            -2,
        ),
        "s16": CallKind((Part(0.1, (700, 1080), -6), Part(0.85, (1100, 1120, 1090)))),
        "s17": CallKind((Part(1.1, (1310, 1280, 1300)), Part(0.4, (1240, 1330, 1280), -4)), tilt_db_per_octave=-9),
        "s18": CallKind(
            (
                Part(0.12, (1800, 2300, 4400), -3),
                Part(0.1, (200, 200), -40),
                Part(0.12, (1800, 2300, 4400), -3),
                Part(0.1, (200, 200), -40),
                Part(0.5, (480, 600, 620, 600)),
            ),
            tilt_db_per_octave=-9,
        ),
        "s19": CallKind(
            (Part(0.5, (780, 950, 1050)), Part(0.45, (1150, 1350, 1420))), (5150, 5050, 5400, 8000), (0.0, 0.95), -2, -5
        ),
        "s37": CallKind(
            (Part(0.3, (70, 95), -6), Part(0.45, (1550, 1250, 850, 720))), (5000, 6500, 8600, 9200), (0.4, 0.8), -4
        ),
        "s42": CallKind(
            (Part(0.15, (1300, 1420), -6), Part(0.7, (470, 480, 475))),
            (4100, 4500, 4700, 9300, 7600, 7700),
            (0.0, 1.0),
            -3,
        ),
    }
)
"""Shaped loosely after types of the Southern Residents' repertoire (Ford 1987), by the eye: likenesses, not copies."""


def orca_call(
    sample_rate_hz: int,
    rng: np.random.Generator,
    *,
    kind: str | None = None,
    range_km: float | None = None,
) -> Samples:
    """One pulsed call of a killer whale.

    Resident killer whales' pulsed calls last 0.5-1.5 s, carry most energy at 1-6 kHz, and consist of parts that differ
    in pulse repetition rate, mostly 250-2000 per second; many have an independent voice at 5-12 kHz as well (Ford
    1987, 1991; Miller & Bain 2000). In a spectrogram the pulse rate stands as equally spaced harmonics. Two calls of a
    kind differ as a whale's do: in length, pitch, emphasis and unsteadiness.

    Args:
        sample_rate_hz: sample rate.
        rng: where the randomness comes from.
        kind: one of `CALL_KINDS`, or `None` for a call of no known kind, drawn anew.
        range_km: distance to the whale; drawn from 0.2 to 4 by default.

    Returns:
        The call and its echoes, (n,), peak 1.0.

    Raises:
        AudioError: for an unknown kind.
    """
    if kind is not None and kind not in CALL_KINDS:
        raise AudioError(f"There is no call of kind {kind!r}. Known kinds: {', '.join(CALL_KINDS)}.")
    shape = _any_kind(rng) if kind is None else CALL_KINDS[kind]
    stretch, pitch = float(rng.uniform(0.85, 1.2)), float(rng.uniform(0.93, 1.07))
    parts = [_contour(part, sample_rate_hz, stretch, pitch) for part in shape.parts]
    rate_hz = np.concatenate([rate for rate, _ in parts])
    level = np.concatenate([level for _, level in parts])
    rate_hz *= 1 + 0.003 * wander(rate_hz.size, sample_rate_hz, rng, 0.15)
    emphasis = _Emphasis(rng, shape.tilt_db_per_octave)
    call = _harmonics(rate_hz, sample_rate_hz, rng, emphasis) * level
    if shape.voice_hz:
        call += 10 ** (shape.voice_db / 20) * _voice(shape, pitch, rate_hz, sample_rate_hz, rng)
    breath = shaped_noise(call.size, sample_rate_hz, rng, emphasis.decibels)
    call += 0.012 * float(np.std(call)) * breath * level
    call *= unrest(call.size, sample_rate_hz, rng, 0.25, 1.5)
    dry = faded(call.astype(np.float32), sample_rate_hz, float(rng.uniform(0.01, 0.05)), float(rng.uniform(0.03, 0.12)))
    return at_distance(dry, sample_rate_hz, rng, float(rng.uniform(0.2, 4)) if range_km is None else range_km)


class _Emphasis:
    """Which frequencies a whale's head favours: a tilt above 2 kHz and three broad, formant-like bands."""

    def __init__(self, rng: np.random.Generator, tilt_db_per_octave: float) -> None:
        self._tilt = tilt_db_per_octave
        self._bands_hz = np.array([1300.0, 2900.0, 6000.0]) * rng.uniform(0.75, 1.3, 3)
        self._gains_db = rng.uniform(2, 9, 3)

    def decibels(self, frequency_hz: Curve) -> Curve:
        octaves = np.log2(np.maximum(frequency_hz, 20) / 2000)
        out = self._tilt * np.maximum(octaves, 0) + 5.0 * np.minimum(octaves, 0)
        for band_hz, gain_db in zip(self._bands_hz, self._gains_db, strict=True):
            out += gain_db * np.exp(-((np.log2(np.maximum(frequency_hz, 20) / band_hz) / 0.35) ** 2))
        return np.asarray(out)


def _contour(part: Part, sample_rate_hz: int, stretch: float, pitch: float) -> tuple[Curve, Curve]:
    """Pulse rate and linear level of one part, sample by sample; the level dips a little at its ends."""
    count = sample_count(part.duration_s * stretch, sample_rate_hz)
    edge = faded(np.ones(count, dtype=np.float32), sample_rate_hz, 0.008, 0.012).astype(np.float64)
    return glide(part.rate_hz, count) * pitch, 10 ** (part.level_db / 20) * (0.25 + 0.75 * edge)


def _harmonics(rate_hz: Curve, sample_rate_hz: int, rng: np.random.Generator, emphasis: _Emphasis) -> Curve:
    """All harmonics of the pulse rate up to 14 kHz (or the sample rate's limit), weighted by the emphasis."""
    top_hz = min(14_000.0, 0.45 * sample_rate_hz)
    grid_hz = np.arange(0.0, top_hz + 200, 25)
    weights = 10 ** (emphasis.decibels(grid_hz) / 20) * np.clip((top_hz - grid_hz) / 1500, 0, 1)
    phase = phase_of(rate_hz, sample_rate_hz)
    out = np.zeros(rate_hz.size)
    for k in range(1, min(int(top_hz / rate_hz.min()), 90) + 1):
        sounding = np.flatnonzero(k * rate_hz < top_hz)
        if sounding.size == 0:
            break
        some = slice(int(sounding[0]), int(sounding[-1]) + 1)
        # The slower the pulses, the more harmonics share the power: the root of the rate keeps all rates alike.
        weight = np.interp(k * rate_hz[some], grid_hz, weights, right=0.0) * np.sqrt(rate_hz[some] / 1000)
        out[some] += 10 ** (rng.normal(0, 3.5) / 20) * weight * np.sin(k * phase[some] + rng.uniform(0, 0.6))
    return out


def _voice(shape: CallKind, pitch: float, rate_hz: Curve, sample_rate_hz: int, rng: np.random.Generator) -> Curve:
    """The high voice, with weak sidebands one pulse rate away on either side, as two coupled sources give them."""
    first, last = (int(edge * rate_hz.size) for edge in shape.voice_span)
    voice_hz = np.minimum(glide(shape.voice_hz, last - first) * pitch, 0.44 * sample_rate_hz)
    phase = phase_of(voice_hz, sample_rate_hz)
    pulse = phase_of(rate_hz[first:last], sample_rate_hz)
    tone = np.sin(phase) * (1 + 0.35 * np.cos(pulse + rng.uniform(0, 6)))
    tone += 0.12 * np.sin(2 * phase) * (2 * voice_hz < 0.45 * sample_rate_hz)
    out = np.zeros(rate_hz.size)
    out[first:last] = faded(tone.astype(np.float32), sample_rate_hz, 0.03, 0.05)
    return out


def _any_kind(rng: np.random.Generator) -> CallKind:
    """A call nobody has named: one to four parts that rise, fall or stay, some with a high voice."""
    parts = []
    for _ in range(int(rng.integers(1, 5))):
        base_hz = float(np.exp(rng.uniform(np.log(220), np.log(1800))))
        bends = base_hz * np.cumprod(rng.uniform(0.8, 1.25, int(rng.integers(2, 6))))
        parts.append(Part(float(rng.uniform(0.12, 0.7)), tuple(bends), float(rng.uniform(-8, 0))))
    if rng.random() < 0.3:
        parts.insert(0, Part(float(rng.uniform(0.1, 0.3)), tuple(rng.uniform(40, 120, 2)), -6))
    two_voiced = rng.random() < 0.5
    voice = tuple(rng.uniform(4500, 6500) * np.cumprod(rng.uniform(0.85, 1.2, 5))) if two_voiced else ()
    start = float(rng.uniform(0, 0.4))
    return CallKind(
        tuple(parts),
        voice,
        (start, float(rng.uniform(start + 0.3, 1))),
        float(rng.uniform(-8, 0)),
        float(rng.uniform(-16, -8)),
    )
