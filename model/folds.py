"""Which sources are left out together."""

from __future__ import annotations

from collections.abc import Mapping
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
        "Ford-Osborne tape": Fold(frozenset({"Ford-Osborne tape", "Whistles"}), frozenset({"Orcasound"})),
        "Bigg's (ONC/JASCO)": Fold(frozenset({"Bigg's (ONC/JASCO)"}), frozenset({"ONC icListen", "DeepShip"})),
        "Watkins": Fold(frozenset({"Watkins"}), frozenset({"Watkins"})),
        "AMAR": Fold(frozenset({"AMAR"}), frozenset({"OOI Oregon", "Belgium", "DeepShip"})),
    }
)
"""By the name of the calls left out. Other sounds are few, so that some are left out more than once."""
