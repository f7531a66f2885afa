"""Windows to learn from: real and synthetic sounds, cut, mixed into other recorders' noise, and turned into log-mel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.augment import noise_of, placed, quiet_spectrum, recorded, shifted
from model.dataset import SAMPLE_RATE_HZ, Clip, Samples, Sounds, Span
from shared.demo.sea import CONFUSERS, at_distance, orca_call, sea_noise, ship
from shared.scoring.frontend import LogMel
from shared.scoring.model_file import FrontEnd

FRONT_END = FrontEnd(
    sample_rate_hz=SAMPLE_RATE_HZ,
    window_s=2.0,
    hop_s=1.0,
    peak_normalize=False,
    n_fft=1024,
    hop_length=400,
    n_mels=80,
    mel_scale="htk",
    f_min_hz=300.0,
    f_max_hz=10_000.0,
    filterbank_sample_rate_hz=SAMPLE_RATE_HZ,
    top_db=80.0,
    input_frames=101,
    pad="row_mean",
)
"""Pulsed calls lie at 0.5-10 kHz; 51 ms resolve their harmonics, 20 ms their bends."""

WINDOW = round(FRONT_END.window_s * SAMPLE_RATE_HZ)
SYNTHETIC = "synthetic"
OTHER_SHARES = (0.36, 0.05, 0.20, 0.09, 0.30)
"""Of windows without a call: other animals, voices, confusers, patches of noise, surroundings alone."""
DISTURBED = 0.125
"""Share of backgrounds, beneath calls and other sounds alike, with a synthetic vessel or chain over them."""


@dataclass(frozen=True)
class Piece:
    """A sound and the groups it was made of."""

    samples: Samples
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Pool:
    """Examples: `mel` (n, mels, frames) float16 dB, `is_call` (n,), and per example the groups it was made of."""

    mel: NDArray[np.float16]
    is_call: NDArray[np.bool_]
    groups: NDArray[np.str_]

    def without(self, groups: Iterable[str]) -> Pool:
        """The examples that none of the groups had a part in."""
        banned = set(groups)
        kept = np.array([not banned & set(made_of.split()) for made_of in self.groups], dtype=bool)
        return Pool(self.mel[kept], self.is_call[kept], self.groups[kept])


class Workshop:
    """Makes examples from clips: each time another source, group and clip, so that no rich source drowns a poor one."""

    def __init__(self, clips: Sequence[Clip], sounds: Sounds, rng: np.random.Generator) -> None:
        self._sounds = sounds
        self._rng = rng
        self._log_mel = LogMel(FRONT_END)
        self._calls = [clip for clip in clips if clip.is_call]
        self._others = [clip for clip in clips if clip.label == "other_bio"]
        self._noises = [clip for clip in clips if clip.label in {"vessel", "ambient"}]
        self._spoken = [clip for clip in clips if clip.speech]
        self._all = list(clips)
        self._quiet: dict[Clip, Samples] = {}
        self._ways: dict[int, list[tuple[float, list[tuple[float, list[Clip]]]]]] = {}

    def pool(self, count: int) -> Pool:
        """`count` examples, half of them calls."""
        mel = np.empty((count, FRONT_END.n_mels, FRONT_END.input_frames), dtype=np.float16)
        is_call = np.arange(count) % 2 == 0
        groups = []
        for index in range(count):
            piece = self.call() if is_call[index] else self.other()
            mel[index] = self.features(piece.samples)
            groups.append(" ".join(sorted(set(piece.groups))))
        return Pool(mel, is_call, np.array(groups, dtype=np.str_))

    def features(self, samples: Samples) -> NDArray[np.float32]:
        """(mels, frames) of one window, by the very front end that listens."""
        return self._log_mel.model_input(self._log_mel.mel_db(samples))[0]

    def call(self) -> Piece:
        """A window with a call, or with half of one or more: as it was recorded, or set into other noise."""
        rng = self._rng
        if not self._calls or rng.random() < 0.15:
            made = orca_call(SAMPLE_RATE_HZ, rng)[: 3 * SAMPLE_RATE_HZ]
            return self._finished(self._among(Piece(made, (SYNTHETIC,)), rng.uniform(0, 25)))
        clip = self._drawn(self._calls)
        span = clip.spans[int(rng.integers(len(clip.spans)))]
        return self._finished(self._heard(clip, span, margin_s=0.15))

    def other(self) -> Piece:
        """A window without a call, made in the same ways: other animals, voices, ships, noise, what fools detectors."""
        recipes = (self._animal, self._voice, self._confuser, self._noise_patch, self._surroundings)
        recipe = recipes[int(self._rng.choice(len(recipes), p=OTHER_SHARES))]
        return self._finished(recipe())

    def _heard(self, clip: Clip, span: Span, margin_s: float = 0.0) -> Piece:
        """A stretch of a clip, as it was recorded or set into other noise at -3 to 25 dB."""
        if self._rng.random() < 0.45:
            return self._as_recorded(clip, span)
        cut = faded(self._varied(self._part(clip, span, margin_s)))
        return self._among(Piece(cut, (clip.group,)), self._rng.uniform(-3, 25))

    def _animal(self) -> Piece:
        if not self._others:
            return self._confuser()
        clip = self._drawn(self._others)
        return self._heard(clip, (0.0, clip.duration_s))

    def _voice(self) -> Piece:
        """A person who announces a call on the tape: the very recorders of some calls, without the calls."""
        if not self._spoken:
            return self._confuser()
        clip = self._drawn(self._spoken)
        span = clip.speech[int(self._rng.integers(len(clip.speech)))]
        cut = self._varied(self._part(clip, span, margin_s=0))
        if self._rng.random() < 0.5 and cut.size > SAMPLE_RATE_HZ // 2:
            return Piece(cut[:WINDOW], (clip.group,))
        return self._among(Piece(faded(cut), (clip.group,)), self._rng.uniform(-3, 25))

    def _confuser(self) -> Piece:
        name = str(self._rng.choice(sorted(CONFUSERS)))
        sound = CONFUSERS[name](float(self._rng.uniform(0.5, 3.0)), SAMPLE_RATE_HZ, self._rng)
        return self._among(Piece(sound, (SYNTHETIC,)), self._rng.uniform(-3, 25))

    def _surroundings(self) -> Piece:
        """A background alone; in three of ten it is a short one."""
        background = self.background()
        if self._rng.random() < 0.3:
            short = background.samples[: int(self._rng.uniform(0.4, 1.6) * SAMPLE_RATE_HZ)]
            return Piece(short, background.groups)
        return background

    def background(self) -> Piece:
        """A full window without a call; over one in eight a synthetic vessel passes or a mooring chain jingles."""
        piece, rng = self._quiet_background(), self._rng
        if rng.random() >= DISTURBED:
            return piece
        if rng.random() < 0.5:
            noise = ship(FRONT_END.window_s, SAMPLE_RATE_HZ, rng, closest_m=float(rng.uniform(60, 600)))
        else:
            noise = CONFUSERS["chain_jingle"](FRONT_END.window_s, SAMPLE_RATE_HZ, rng)
        samples = placed(noise, piece.samples, float(rng.uniform(-5, 15)), 0, sample_rate_hz=SAMPLE_RATE_HZ)
        return Piece(samples, (*piece.groups, SYNTHETIC))

    def _quiet_background(self) -> Piece:
        """Ships and ambient sound as recorded, some recorder's own noise, or synthetic sea."""
        rng = self._rng
        draw = rng.random()
        if draw < 0.45 and self._noises:
            clip = self._drawn(self._noises)
            whole = self._sounds[clip]
            if whole.size >= WINDOW:
                start = int(rng.integers(whole.size - WINDOW + 1))
                cut = whole[start : start + WINDOW]
                if float(np.max(np.abs(cut))) > 0:
                    return Piece(cut, (clip.group,))
        if draw < 0.75 and self._all:
            clip = self._drawn(self._all)
            return Piece(self._noise_like(clip, WINDOW), (clip.group,))
        sea = sea_noise(
            FRONT_END.window_s,
            SAMPLE_RATE_HZ,
            rng,
            slope_db_per_octave=float(rng.uniform(-7, -1)),
            hiss_db=float(rng.uniform(-45, -15)),
            clicks_per_s=float(rng.choice([0, 0, 2, 10])),
        )
        if rng.random() < 0.5:
            passing = ship(FRONT_END.window_s, SAMPLE_RATE_HZ, rng, closest_m=float(rng.uniform(60, 600)))
            sea = sea + passing * np.float32(10 ** (rng.uniform(-35, 0) / 20))
        return Piece(sea.astype(np.float32), (SYNTHETIC,))

    def _noise_patch(self) -> Piece:
        """A stretch of one recorder's noise within another's: what mixing does to calls, without the call."""
        rng = self._rng
        clip = self._drawn(self._all)
        count = int(rng.uniform(0.3, 1.8) * SAMPLE_RATE_HZ)
        patch = Piece(faded(self._noise_like(clip, count)), (clip.group,))
        return self._among(patch, rng.uniform(-10, 15))

    def _among(self, sound: Piece, snr_db: float) -> Piece:
        """The sound somewhere in a background, at least 55 % of its length inside (or of the window filled by it)."""
        rng = self._rng
        background = self.background()
        size = sound.samples.size
        inside = min(int(0.55 * size), int(0.55 * WINDOW))
        at = int(rng.integers(inside - size, WINDOW - inside + 1))
        mixed = placed(sound.samples, background.samples, snr_db, at, sample_rate_hz=SAMPLE_RATE_HZ)
        if rng.random() < 0.3 and at >= 0 and at + size <= WINDOW:
            before, after = rng.uniform(0, 0.3, 2) * SAMPLE_RATE_HZ
            mixed = mixed[max(at - int(before), 0) : at + size + int(after)]
            mixed = mixed if mixed.size > FRONT_END.n_fft else background.samples
        return Piece(mixed, sound.groups + background.groups)

    def _as_recorded(self, clip: Clip, span: Span) -> Piece:
        """Two seconds around part of the span, or the whole clip where it is shorter."""
        rng = self._rng
        samples = self._sounds[clip]
        first, last = (round(edge * SAMPLE_RATE_HZ) for edge in span)
        if samples.size > WINDOW:
            inside = min(int(0.55 * (last - first)), int(0.7 * WINDOW))
            low, high = max(first + inside - WINDOW, 0), min(last - inside, samples.size - WINDOW)
            start = int(rng.integers(low, max(high, low) + 1))
            samples = samples[start : start + WINDOW]
        elif rng.random() < 0.3 and samples.size > SAMPLE_RATE_HZ:
            spare = int(0.3 * samples.size)
            start = int(rng.integers(spare + 1))
            samples = samples[start : samples.size - spare + start]
        return Piece(self._varied(samples)[:WINDOW], (clip.group,))

    def _part(self, clip: Clip, span: Span, margin_s: float) -> Samples:
        """The span with a margin, at most 2.5 s of it."""
        start, end = max(span[0] - margin_s, 0.0), span[1] + margin_s
        if end - start > 2.5:
            start += float(self._rng.uniform(0, end - start - 2.5))
            end = start + 2.5
        return self._sounds.cut(clip, start, end)

    def _varied(self, samples: Samples) -> Samples:
        samples = shifted(samples, self._rng) if self._rng.random() < 0.5 else samples
        if self._rng.random() < 0.2:
            length = samples.size
            samples = at_distance(samples, SAMPLE_RATE_HZ, self._rng, float(self._rng.uniform(0.2, 4)))[:length]
        return samples

    def _finished(self, piece: Piece) -> Piece:
        """As one more recorder kept it, with another's noise beneath in one of four."""
        rng = self._rng
        samples, groups = piece.samples, piece.groups
        if rng.random() < 0.25:
            clip = self._drawn(self._all)
            noise = self._noise_like(clip, samples.size)
            level = float(np.std(samples)) / max(float(np.std(noise)), 1e-12) * 10 ** (-rng.uniform(6, 30) / 20)
            samples, groups = samples + np.float32(level) * noise, (*groups, clip.group)
        return Piece(recorded(samples, rng, sample_rate_hz=SAMPLE_RATE_HZ), groups)

    def _noise_like(self, clip: Clip, count: int) -> Samples:
        """Noise as the clip's recorder makes it, judged by its first ten seconds."""
        if clip not in self._quiet:
            self._quiet[clip] = quiet_spectrum(self._sounds[clip][: 10 * SAMPLE_RATE_HZ])
        return noise_of(self._quiet[clip], count, self._rng)

    def _drawn(self, clips: Sequence[Clip]) -> Clip:
        """One clip: first a source, by the fourth root of its clips, then a group by the root, then a clip."""
        if id(clips) not in self._ways:
            self._ways[id(clips)] = _tree(clips)
        branches = self._ways[id(clips)]
        _, groups = branches[self._rng.choice(len(branches), p=[share for share, _ in branches])]
        _, group = groups[self._rng.choice(len(groups), p=[share for share, _ in groups])]
        return group[int(self._rng.integers(len(group)))]


def _tree(clips: Sequence[Clip]) -> list[tuple[float, list[tuple[float, list[Clip]]]]]:
    """Sources, their groups, their clips, each with its share among its like."""
    by_source = _by(lambda clip: clip.source, clips, power=0.25)
    return [(share, _by(lambda clip: clip.group, some, power=0.5)) for share, some in by_source]


def _by(key: Callable[[Clip], str], clips: Sequence[Clip], *, power: float) -> list[tuple[float, list[Clip]]]:
    parts: dict[str, list[Clip]] = {}
    for clip in clips:
        parts.setdefault(key(clip), []).append(clip)
    total = sum(len(part) ** power for part in parts.values())
    return [(len(part) ** power / total, part) for part in parts.values()]


def faded(samples: Samples) -> Samples:
    """Ends of 30 ms, so that no click marks where a sound was cut."""
    edge = min(round(0.03 * SAMPLE_RATE_HZ), samples.size // 2)
    out = samples.copy()
    ramp = np.linspace(0, 1, edge, dtype=np.float32)
    out[:edge] *= ramp
    out[out.size - edge :] *= ramp[::-1]
    return out
