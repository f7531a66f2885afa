"""Which sources are left out together, of our recordings and of anybody's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.dataset import Clip
from model.folds import FOLDS, folds_of
from tests.model.test_candidates import CLIP


def clips(calls: list[str], others: list[str]) -> list[Clip]:
    """One clip of each source, by its repository."""
    made = [replace(CLIP, source_repository=name, group=f"{name} call") for name in calls]
    return made + [replace(CLIP, source_repository=name, group=f"{name} sea", label="ambient") for name in others]


def test_own_recordings_get_folds_of_their_own() -> None:
    """Each place with calls is left out once; sounds without calls are dealt over the folds, each left out once."""
    own = clips(["reef", "bay", "cape"], ["reef", "bay", "cape", "port"])
    folds = folds_of(own)

    assert set(folds) == {"reef", "bay", "cape"}
    for name, fold in folds.items():
        judging = [clip for clip in own if fold.judges(clip)]
        learning = [clip for clip in own if not fold.leaves_out(clip)]
        assert {clip.is_call for clip in judging} == {clip.is_call for clip in learning} == {True, False}, name
        assert not {clip.source for clip in judging} & {clip.source for clip in learning}
    dealt = [source for fold in folds.values() for source in fold.others]
    assert sorted(dealt) == ["bay", "cape", "port", "reef"]


def test_ours_and_own_recordings_together() -> None:
    """Beside our sources a further one gets its own fold, and our folds stay."""
    ours = [replace(CLIP, site=site) for site in ("Watkins", "AMAR deployment")]
    ours += [replace(CLIP, site=site, label="other_bio") for site in ("Watkins", "Belgium", "ONC Strait")]
    folds = folds_of([*ours, *clips(["reef"], ["harbour", "inlet", "port"])])

    assert set(folds) == {"Watkins", "AMAR", "reef"}
    assert folds["Watkins"].others >= FOLDS["Watkins"].others


def test_one_place_is_not_enough() -> None:
    """With nothing to leave out the message says what to give."""
    with pytest.raises(ValueError, match="source_repository"):
        folds_of(clips(["reef"], ["port"]))


def test_something_must_be_left_to_learn_from() -> None:
    """Where the only other sounds would be left out, the message names the fold."""
    ours = [replace(CLIP, site=site) for site in ("Ford archive", "ONC/JASCO")]
    with pytest.raises(ValueError, match="without Ford archive tapes"):
        folds_of([*ours, replace(CLIP, site="ONC Strait", label="vessel")])
