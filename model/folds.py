"""Which sources are left out together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from model.dataset import Clip


@dataclass(frozen=True)
class Fold:
    """Which sources are left out: of calls, and of other sounds."""

    calls: frozenset[str]
    others: frozenset[str]

    def leaves_out(self, clip: Clip) -> bool:
        """Whether the fold's model must not hear the clip: both kinds of a left-out source are."""
        return clip.source in self.calls | self.others

    def judges(self, clip: Clip) -> bool:
        """Whether the fold's model is judged by the clip."""
        return clip.source in (self.calls if clip.is_call else self.others)


FOLDS: Mapping[str, Fold] = MappingProxyType(
    {
        "Ford archive tapes": Fold(frozenset({"Ford archive tapes", "DFO catalogue"}), frozenset({"DeepShip"})),
        "Ford-Osborne tape": Fold(frozenset({"Ford-Osborne tape", "Whistles"}), frozenset({"Orcasound", "OOI Oregon"})),
        "Bigg's (ONC/JASCO)": Fold(frozenset({"Bigg's (ONC/JASCO)"}), frozenset({"ONC icListen", "DeepShip"})),
        "Watkins": Fold(frozenset({"Watkins"}), frozenset({"Watkins", "Orcasound", "Belgium"})),
        "AMAR": Fold(frozenset({"AMAR"}), frozenset({"OOI Oregon", "Belgium", "DeepShip"})),
    }
)
"""By the name of the calls left out. Sounds of ships and sea are few, so that some are left out more than once."""


def folds_of(clips: Iterable[Clip]) -> Mapping[str, Fold]:
    """The folds for these clips: those of `FOLDS` that they can fill, then one for each further source of calls.

    Further sources of other sounds are dealt over the folds, in the order of their names. Raises ValueError when fewer
    than two folds come about, or one would leave nothing to learn from.
    """
    clips = tuple(clips)
    calls = {clip.source for clip in clips if clip.is_call}
    others = sorted({clip.source for clip in clips if not clip.is_call})
    known_calls = {source for fold in FOLDS.values() for source in fold.calls}
    known_others = {source for fold in FOLDS.values() for source in fold.others}
    found = {name: fold for name, fold in FOLDS.items() if fold.calls & calls}
    found |= {name: Fold(frozenset({name}), frozenset()) for name in sorted(calls - known_calls)}
    names = list(found)
    for index, source in enumerate(source for source in others if source not in known_others):
        name = names[index % len(names)] if names else ""
        if name:
            found[name] = Fold(found[name].calls, found[name].others | {source})
    found = {name: fold for name, fold in found.items() if fold.others & set(others)}
    if len(found) < 2:
        raise ValueError(
            f"{len(found)} sources of calls with sources of other sounds to judge them against, and two are needed to "
            "leave one out: give the recordings of each place or recorder their own `source_repository` in labels.csv"
        )
    for name, fold in found.items():
        kept = {clip.is_call for clip in clips if not fold.leaves_out(clip)}
        if kept != {True, False}:
            raise ValueError(f"without {name} no calls, or no other sounds, are left to learn from: add recordings")
    return MappingProxyType(found)
