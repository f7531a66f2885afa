"""docs/observe.md names what there is: every metric and span of the code, and none besides."""

from __future__ import annotations

import re

from opentelemetry.metrics import Instrument

from shared.telemetry import metrics
from shared.telemetry.traces import SPANS
from tests.conftest import ROOT
from tests.telemetry.test_page import EXPECTED

PAGE = (ROOT / "docs" / "observe.md").read_text(encoding="utf-8")


def instruments() -> set[str]:
    """Every instrument of the code by name, whether it has been given to an SDK or not."""
    found = [one for one in vars(metrics).values() if isinstance(one, Instrument)]
    return {str(getattr(one, "name", None) or one._name) for one in found}  # type: ignore[attr-defined]  # stand-ins


def test_every_metric_is_on_the_page() -> None:
    """The table has each instrument once, beside the name under which Prometheus finds it."""
    rows = re.findall(r"^\| `(haro\.[a-z_.]+)` \| `(haro_[a-z_]+)` \|", PAGE, re.MULTILINE)

    assert sorted(name for name, _ in rows) == sorted(instruments())
    assert len(instruments()) == 13
    assert {shown for _, shown in rows} == EXPECTED


def test_every_span_is_on_the_page() -> None:
    """The table has each span, and says of it what the code says."""
    assert dict(re.findall(r"^\| `([a-z]+)` \| (.+) \|$", PAGE, re.MULTILINE)) == SPANS


def test_the_queries_ask_for_what_there_is() -> None:
    """Each metric that a query names is one of ours."""
    asked = set(re.findall(r'"(haro\.[a-z_.]+)"', "".join(re.findall(r"```kusto\n(.*?)```", PAGE, re.DOTALL))))

    assert {"haro.score", "haro.clips.scored"} < asked
    assert asked - {"haro.batch_id", "haro.fetch_s", "haro.decode_s"} <= instruments()
