"""The parts of the model card that are written by code: its figures and its sources."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from model.comparison_tables import comparison_tables
from model.dataset import Clip, read_labels
from model.metrics import shown

BEGIN, END = "<!-- {name}: written by model.card -->", "<!-- end of {name} -->"


def figures_tables(figures: Mapping[str, Any]) -> str:
    """The evaluation as Markdown tables."""
    return "\n\n".join(
        [
            _test_table(figures["test_split"], figures["threshold"]),
            _synthetic_table(figures["synthetic"], figures["threshold"]),
        ]
    )


def sources_table(clips: Iterable[Clip]) -> str:
    """Every repository the clips came from, with how much of what, and the licence it states."""
    rows: dict[tuple[str, str], dict[str, list[float]]] = {}
    for clip in clips:
        per_label = rows.setdefault((clip.source_repository, clip.licence), {})
        per_label.setdefault(clip.label, []).append(clip.duration_s)
    lines = ["| repository | what | licence as stated |", "|---|---|---|"]
    for (repository, licence), per_label in sorted(rows.items()):
        what = ", ".join(
            f"{len(lengths)} {label.replace('_', ' ')} ({sum(lengths) / 60:.1f} min)"
            for label, lengths in sorted(per_label.items())
        )
        lines.append(f"| {repository} | {what} | {licence} |")
    return "\n".join(lines)


def rewritten(card: str, parts: Mapping[str, str]) -> str:
    """The card with each named part, between its marks, replaced. Raises ValueError for a card without the marks."""
    for name, text in parts.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        before, found, rest = card.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            raise ValueError(f"the card has no part between {begin!r} and {end!r}")
        card = f"{before}{begin}\n{text}\n{end}{after}"
    return card


def _row(name: str, part: Mapping[str, Any]) -> str:
    found = " | ".join(shown(part[key]) for key in ("auroc", "auprc", "recall_at_fpr_01", "recall_at_fpr_05"))
    return f"| {name} | {part['calls']} / {part['others']} | {part['call_groups']} / {part['other_groups']} | {found} |"


def _test_table(test: Mapping[str, Any], threshold: float) -> str:
    lines = [
        "| test split | calls / others | recordings | AUROC | AUPRC | recall at 1 % FPR | recall at 5 % FPR |",
        "|---|---|---|---|---|---|---|",
        _row("this model", test),
        *(_row(name, part) for name, part in test["baselines"].items()),
        "",
        f"| test split, by source | clips | recordings | detected at {threshold:g} |",
        "|---|---|---|---|",
    ]
    better = ", ".join(f"{shown(part['model_auprc_less_its'])} over {name}" for name, part in test["baselines"].items())
    lines.insert(5, f"\nPaired, this model's AUPRC is higher by {better}.")
    for name, part in test["detected"].items():
        lines.append(f"| {name} | {part['clips']} | {part['groups']} | {shown(part)} |")
    return "\n".join(lines)


def _synthetic_table(made: Mapping[str, Any], threshold: float) -> str:
    lines = [f"| synthetic minutes, {made['minutes_each']} of each | detected at {threshold:g} |", "|---|---|"]
    lines += [f"| three calls at {ratio} dB | {share:.0%} |" for ratio, share in made["calls_at_snr_db"].items()]
    lines += [f"| no call: {kind.replace('_', ' ')} | {share:.0%} |" for kind, share in made["no_calls"].items()]
    return "\n".join(lines)


def main(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv.")],
    figures: Annotated[Path, typer.Option(help="What model.evaluate wrote.")] = Path("model/evaluation.json"),
    comparison: Annotated[Path, typer.Option(help="What model.compare wrote.")] = Path("model/comparison.json"),
    card: Annotated[Path, typer.Option(help="The card to bring up to date.")] = Path("model/MODEL_CARD.md"),
) -> None:
    """Write the figures and the sources into the card."""
    parts = {
        "comparison": comparison_tables(json.loads(comparison.read_text(encoding="utf-8"))),
        "figures": figures_tables(json.loads(figures.read_text(encoding="utf-8"))),
        "sources": sources_table(read_labels(data)),
    }
    card.write_text(rewritten(card.read_text(encoding="utf-8"), parts), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
