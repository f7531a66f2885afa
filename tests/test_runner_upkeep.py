"""What the runner does beside the stages: upkeep, piece by piece; and what ends it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import StorageError
from shared.runner import Runner
from tests.house import fail_with, open_test_house

UPKEEP = ["clean", "tend_dead_letters", "reconcile"]


@pytest.mark.parametrize("error", [StorageError("a folder of root's"), ZeroDivisionError("a bug")])
@pytest.mark.parametrize("failing", UPKEEP)
def test_upkeep_that_fails_costs_the_rest_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failing: str, error: Exception
) -> None:
    """Whichever piece of upkeep fails, and by whatever, it is said, the others are done, and so is the next round."""
    monkeypatch.setattr("shared.runner._CLEAN_EVERY_S", 0.01)
    done: list[str] = []

    with open_test_house(tmp_path) as house:
        runner = Runner(house, tell=lambda event: None)

        def upkeep(name: str) -> Callable[[], None]:
            def work() -> None:
                done.append(name)
                if done.count("clean") == 2:
                    runner.stop()
                if name == failing:
                    raise error

            return work

        for name in UPKEEP:
            monkeypatch.setattr(house, name, upkeep(name))
        runner.run()

    assert done[:4] == [*UPKEEP, "clean"]
    said = [record for record in caplog.records if record.name == "shared.runner" and record.levelno == logging.ERROR]
    assert failing.replace("_", " ") in said[0].getMessage()
    assert str(error) in caplog.text


def test_a_bug_in_a_loop_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no message is to blame for, and waiting would not mend, ends the process's work with its traceback."""
    with open_test_house(tmp_path) as house:
        monkeypatch.setattr(house, "deliver", fail_with(ZeroDivisionError("a bug")))
        with pytest.raises(ZeroDivisionError, match="a bug"):
            Runner(house, tell=lambda event: None).run()
