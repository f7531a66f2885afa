"""The tables of docs/cost.md, made from bench/latest.json and bench/cost.py and set between marks in the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path

from bench import cost
from bench.figures import Figure, read_figures
from shared.errors import HaroError

LATEST = Path(__file__).parent / "latest.json"
PAGE = Path(__file__).parent.parent / "docs" / "cost.md"
_SHOWN = {
    "bundled": "the bundled model",
    "int8-mean_top_k": "ResNet-50, INT8, 29 windows",
    "fp32-mean_top_k": "ResNet-50, FP32, 29 windows",
    "int8-smoothed_count": "ResNet-50, INT8, 59 windows",
    "fp32-smoothed_count": "ResNet-50, FP32, 59 windows",
}


def page_with_tables(text: str, figures: Mapping[str, Figure]) -> str:
    """The page with every table as the figures and prices have it. Raises HaroError when a mark is missing."""
    for name, table in _tables(figures).items():
        begin, end = f"<!-- {name}: made by bench/page.py -->\n", f"<!-- end of {name} -->"
        before, found_begin, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            raise HaroError(f"the page has no place between '{begin.strip()}' and '{end}': put the marks back")
        text = f"{before}{begin}{table}\n{end}{after}"
    return text


def rewrite_page() -> None:
    """Write docs/cost.md anew from the newest figures."""
    PAGE.write_text(page_with_tables(PAGE.read_text(encoding="utf-8"), read_figures(LATEST)), encoding="utf-8")


def _tables(figures: Mapping[str, Figure]) -> dict[str, str]:
    return {
        "scaling": _scaling(figures),
        "hydrophone": _hydrophone(figures),
        "bill": _bill(figures),
        "prices": _prices(),
    }


def _scaling(figures: Mapping[str, Figure]) -> str:
    """What a minute takes, and how many hydrophones a core carries."""
    rows = [
        [
            told,
            f"{figures[f'{name}.all'].value:.2f} s",
            f"{figures[f'{name}.times_real_time'].value:.3g} x",
            f"{figures[f'{name}.stage'].value:.2f} s",
            f"{floor(figures[f'{name}.hydrophones_per_core'].value)}",
            f"{figures[f'{name}.peak_memory'].value:.0f} MB",
        ]
        for name, told in _SHOWN.items()
    ]
    return _table(
        ["", "bytes to decision", "real time", "whole stage", "hydrophones a core at 80 %", "peak memory"], rows
    )


def _hydrophone(figures: Mapping[str, Figure]) -> str:
    """What one hydrophone costs for the machine that scores it."""
    rows = []
    for name, told in _SHOWN.items():
        stage_s, per_core = figures[f"{name}.stage"].value, figures[f"{name}.hydrophones_per_core"].value
        rows.append(
            [
                told,
                f"{cost.scoring_s(stage_s):.1f} s",
                f"{cost.functions_usd(stage_s):.2f}",
                f"{cost.node_usd(per_core):.2f}",
                f"{cost.nodes_usd(per_core):.0f}",
            ]
        )
    per_core = 1 / cost.INCUMBENT_CORES
    rows.append(
        ["OrcaHello as it reports", "", "", f"{cost.node_usd(per_core):.2f}", f"{cost.nodes_usd(per_core):.0f}"]
    )
    return _table(
        [
            "",
            "billed a clip on Flex",
            "Flex, a hydrophone",
            "a full node's share",
            f"whole nodes for {cost.HYDROPHONES} hydrophones",
        ],
        rows,
    )


def _bill(figures: Mapping[str, Figure]) -> str:
    """Everything that eight hydrophones cost with the bundled model."""
    stage_s = figures["bundled.stage"].value
    rows = [
        [line.what, line.formula.replace(" x ", " \N{MULTIPLICATION SIGN} "), f"{line.usd:.2f}"]
        for line in cost.bill(stage_s)
    ]
    rows.append(["**together**", "", f"**{cost.total_usd(stage_s):.0f}**"])
    rows += [
        [f"with {_SHOWN[name]}", "scoring is billed longer", f"{cost.total_usd(figures[f'{name}.stage'].value):.0f}"]
        for name in ("int8-mean_top_k", "fp32-mean_top_k")
    ]
    return _table(["what", "how it is worked out", "USD a month"], rows)


def _prices() -> str:
    return _table(["USD", "for a", "source"], [[f"{_plain(one.usd)}", one.unit, one.source] for one in cost.PRICES])


def _plain(usd: float) -> str:
    return f"{usd:.8f}".rstrip("0")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
