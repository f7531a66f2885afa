"""The one table: every variant a column, every part a row, each target beside its value."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from bench.figures import TARGETS, VARIANTS, Figure

_ROWS = (
    ("decode", 1000, "{:.0f}", "decode, ms"),
    ("resample", 1000, "{:.0f}", "resample, ms"),
    ("features", 1000, "{:.0f}", "features, ms"),
    ("inference", 1000, "{:.0f}", "inference, ms"),
    ("all", 1000, "{:.0f}", "all: bytes to decision, ms"),
    ("times_real_time", 1, "{:.3g}", "x real time"),
    ("windows", 1, "{:.0f}", "windows a minute"),
    ("inference_per_window", 1, "{:.3g}", "inference, ms a window"),
    ("ffts", 1000, "{:.0f}", "bare FFTs of the frames, ms"),
    ("features_to_ffts", 1, "{:.2f}", "features, as bare FFTs"),
    ("peak_memory", 1, "{:.0f}", "peak memory, MB"),
    ("first_score", 1, "{:.2f}", "cold process to first score, s"),
    ("first_decision", 1, "{:.2f}", "cold process to first decision, s"),
    ("stage", 1000, "{:.0f}", "whole stage, ms"),
    ("health", 1000, "{:.0f}", "  of it, health of the stream, ms"),
    ("audio", 1000, "{:.0f}", "  of it, FLAC, ms"),
    ("picture", 1000, "{:.0f}", "a detection's picture, ms more"),
    ("hydrophones_per_core", 1, "{:.0f}", "hydrophones a core, 80 % busy"),
)


def table_of(figures: Mapping[str, Figure]) -> Table:
    """The table to print; `figures` by name. A row says value ± spread, and the target where there is one."""
    rate = figures["machine.matrix_product"]
    table = Table(
        title=f"A minute of sound on one thread; this processor multiplies matrices at {rate.value:.0f} Gflop/s",
        highlight=False,
    )
    shown = [name for name in VARIANTS if f"{name}.all" in figures]
    table.add_column("", no_wrap=True)
    for name in shown:
        table.add_column(name.replace("-", "\n"), justify="right", no_wrap=True)
    for what, factor, form, label in _ROWS:
        table.add_row(label, *(_cell(figures.get(f"{name}.{what}"), factor, form) for name in shown))
    return table


def _cell(figure: Figure | None, factor: float, form: str) -> str:
    if figure is None:
        return ""
    text = form.format(figure.value * factor)
    if figure.spread:
        text += f" ± {form.format(figure.spread * factor)}"
    target = next((target for target in TARGETS if target.name == figure.name), None)
    if target is None:
        return text
    sign = {"at least": "\N{GREATER-THAN OR EQUAL TO}", "at most": "\N{LESS-THAN OR EQUAL TO}"}[target.sense]
    verdict = "reached" if target.reached_by(figure.value) else "[bold]not reached[/bold]"
    return f"{text}\n{sign} {target.bound:g} {verdict}"
