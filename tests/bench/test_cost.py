"""What it costs: the sums, and that the pages say what they give.

The tables of `docs/cost.md` are made: `REWRITE_DOCS=1 python -m pytest tests/bench` writes them anew.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import cost
from bench.figures import TARGETS, VARIANTS, read_figures
from bench.page import LATEST, PAGE, page_with_tables, rewrite_page
from shared.errors import HaroError
from tests.conftest import ROOT

seconds = st.floats(0.001, 600)


def test_the_page_is_what_the_figures_and_prices_say() -> None:
    """docs/cost.md is not behind bench/latest.json or bench/cost.py."""
    if os.environ.get("REWRITE_DOCS"):
        rewrite_page()

    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with_tables(page, read_figures(LATEST)), "run REWRITE_DOCS=1 python -m pytest tests/bench"


def test_the_figures_kept_are_of_every_model() -> None:
    """bench/latest.json is of a whole run: each model and each target is in it."""
    figures = read_figures(LATEST)

    assert {f"{name}.all" for name in VARIANTS} <= set(figures)
    assert {target.name for target in TARGETS} <= set(figures)


def test_no_core_is_said_to_carry_more_than_it_can() -> None:
    """Hydrophones a core are whole ones: the tenth of 9.57 would keep the core busier than the page says."""
    figures = read_figures(LATEST)
    figures["bundled.hydrophones_per_core"] = replace(figures["bundled.hydrophones_per_core"], value=9.57)

    page = page_with_tables(PAGE.read_text(encoding="utf-8"), figures)

    row = next(line for line in page.splitlines() if line.startswith("| the bundled model |"))
    assert row.split(" | ")[4] == "9"


def test_a_page_without_its_marks_is_told() -> None:
    """A table has no place to go: the error names the marks."""
    page = PAGE.read_text(encoding="utf-8").replace("<!-- end of bill -->", "")

    with pytest.raises(HaroError, match=r"end of bill.*put the marks back"):
        page_with_tables(page, read_figures(LATEST))


def test_how_to_deploy_says_the_same() -> None:
    """The sum that docs/deploy.md names is the one that the bill comes to, to the nearest five dollars."""
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    told = re.search(r"about (\d+) US dollars a month for 8 hydrophones", text)

    assert told is not None
    assert abs(int(told[1]) - cost.total_usd(read_figures(LATEST)["bundled.stage"].value)) <= 5


@given(seconds)
def test_billing_rounds_up(taken_s: float) -> None:
    """An execution is billed for a second at least, in tenths, never less than it took and never a tenth more."""
    billed_s = cost.billed_s(taken_s)

    assert billed_s >= max(1.0, taken_s) - 1e-6
    assert billed_s * 10 == pytest.approx(round(billed_s * 10))
    assert billed_s == 1.0 or billed_s < taken_s + 0.1 + 1e-6


@given(seconds, seconds, st.integers(1, 500))
def test_slower_or_more_costs_more(one_s: float, other_s: float, hydrophones: int) -> None:
    """The bill grows with the time a clip takes and with hydrophones, and for twice as many it is less than twice."""
    quick_s, slow_s = sorted((one_s, other_s))

    assert cost.total_usd(quick_s, hydrophones) <= cost.total_usd(slow_s, hydrophones)
    once, twice = cost.total_usd(quick_s, hydrophones), cost.total_usd(quick_s, 2 * hydrophones)
    assert once < twice < 2 * once


def test_a_bill_by_hand() -> None:
    """Eight hydrophones at half a second of processor time a clip: scoring is billed for 3 s, 54.63 dollars."""
    lines = {line.what: line.usd for line in cost.bill(0.5)}

    assert lines["scoring"] == pytest.approx(8 * 1440 * 30.4 * 3.0 * 2 * 0.000026)
    assert lines["recording"] == pytest.approx(lines["scoring"] / 3)
    assert lines["upkeep, less what is free"] == pytest.approx((13_000 * 1.5 * 2 - 100_000) * 0.000026)
    assert sum(lines.values()) == pytest.approx(cost.total_usd(0.5))


def test_nodes() -> None:
    """The incumbent needs two nodes for eight hydrophones, a model that carries five a core one; a share is a part."""
    node_usd = cost.NODE.usd * cost.HOURS

    assert cost.nodes_usd(1.0) == pytest.approx(2 * node_usd)
    assert cost.nodes_usd(5.0) == pytest.approx(node_usd)
    assert cost.node_usd(1.0) == pytest.approx(node_usd / 4)
    assert cost.node_usd(10.0) == pytest.approx(node_usd / 40)
