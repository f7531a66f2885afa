"""The model that scores is the one in production, from within a minute of its promotion; or the one that is pinned."""

from __future__ import annotations

from functools import partial

import pytest

from shared.registry.served import ServedModel
from shared.registry.trial import admit
from tests.registry.conftest import fetched, version
from tests.registry.served_desk import LOOK_EVERY_S, ServedDesk, serving

pytestmark = pytest.mark.usefixtures("tried_here")


def test_without_a_promotion_the_bundled_model_scores(desk: ServedDesk) -> None:
    """An empty pointer, and a process with no registry at all, leave the bundled one."""
    model = desk.serve()
    assert (serving(model), desk.after_a_while(model), model.problem) == ("0", "0", "")
    assert serving(ServedModel(desk.bundled, None, partial(admit, threads=1, batch_size=2))) == "0"


def test_a_promotion_is_taken_up_within_a_minute_and_a_rollback_too(desk: ServedDesk) -> None:
    """Not before it is time to look, and then at once; back to the bundled one too. A new process starts with it."""
    model = desk.serve()
    assert serving(model) == "0"
    desk.promote(1)
    assert serving(model) == "0"
    assert desk.after_a_while(model) == "1"
    desk.promote(2)
    assert desk.after_a_while(model) == "2"
    assert serving(desk.serve()) == "2"
    desk.registry.rollback(by="ann", reason="")
    assert desk.after_a_while(model) == "1"
    desk.registry.promote(None, by="ann", reason="")
    assert (desk.after_a_while(model), model.problem) == ("0", "")


def test_an_unchanged_pointer_costs_one_question(desk: ServedDesk) -> None:
    """The pointer is asked about once a minute however many clips come, and the model is fetched once."""
    asked = []
    ask = desk.blobs.get_if_changed

    def counting(name: str, *, etag: str | None) -> object:
        asked.append(etag)
        return ask(name, etag=etag)

    desk.blobs.get_if_changed = counting  # type: ignore[method-assign, assignment]  # counts
    desk.promote(1)
    asked.clear()
    model = desk.serve()
    for _ in range(5):
        assert {serving(model) for _ in range(10)} == {"1"}
        desk.time_s += LOOK_EVERY_S
    assert len(asked) == 5
    assert asked[0] is None
    assert len(set(asked[1:])) == 1
    assert desk.admitted == ["tiny/1"]


def test_a_pinned_version_scores_whatever_is_promoted(desk: ServedDesk) -> None:
    """The pin wins; one that is not there yet is tried when it comes; the bundled one's version needs no file."""
    desk.promote(1)
    pinned = desk.serve(version(2))
    assert (serving(pinned), desk.after_a_while(pinned), pinned.problem) == ("2", "2", "")

    early = desk.serve(version(3))
    assert (serving(early), "no model tiny/3" in early.problem) == ("0", True)
    desk.registry.add(fetched(desk.registry, desk.registry.entry(version(2))), "# 3", ref=version(3), by="ann")
    assert (desk.after_a_while(early), "calls itself tiny/2" in early.problem) == ("0", True)

    own = desk.serve(version(0))
    assert (serving(own), own.problem) == ("0", "")
