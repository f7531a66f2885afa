"""The comparison as Markdown tables, for the model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model.metrics import shown

RECALLS = tuple(f"recall_at_1_alarm_per_10_min_of_{sounds}" for sounds in ("ships", "noise", "other_sounds"))
HEADS = ("recall, ships", "recall, ships and sea", "recall, all other sounds")


def comparison_tables(report: Mapping[str, Any]) -> str:
    """All of `comparison.json` that a reader needs."""
    candidates: Mapping[str, Any] = report["candidates"]
    best = report["best"]
    return "\n\n".join(
        [
            _overall(candidates),
            _differences(best, report["best_minus"]),
            _detected(candidates),
            _side_by_side("calls found, by source", candidates, "by_source", lambda part: part["recall"]),
            _side_by_side("AUPRC, by source", candidates, "by_source", lambda part: part["auprc"]),
            _side_by_side("calls found, by dB over the noise", candidates, "by_snr_db", lambda part: part),
            _side_by_side("taken for a call", candidates, "false_alarms", lambda part: part, with_count=True),
        ]
    )


def _overall(candidates: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{found['weights']:,}" if "weights" in found else "none",
            shown(found["auprc"]),
            shown(found["auroc"]),
            *(shown(found[recall]) for recall in RECALLS),
            f"{found['brier']:.3f}",
            f"{found['training_seconds']} s" if "training_seconds" in found else "-",
        ]
        for name, found in candidates.items()
    ]
    head = ["candidate", "weights", "AUPRC", "AUROC", *HEADS, "Brier", "five trainings"]
    return _table(head, rows)


def _differences(best: str, against: Mapping[str, Any]) -> str:
    rows = [
        [name, shown(part["auprc"]), *(shown(part[recall]) for recall in RECALLS)] for name, part in against.items()
    ]
    return _table([f"{best} less", "AUPRC", *HEADS], rows)


def _detected(candidates: Mapping[str, Any]) -> str:
    parts = ("calls", "noise", "other sounds")
    threshold = next(iter(candidates.values()))["detected"]["threshold"]
    rows = [[name, *(shown(found["detected"][part]) for part in parts)] for name, found in candidates.items()]
    return _table([f"detected at {threshold:g}", "calls", "ships and sea", "all other sounds"], rows)


def _side_by_side(title: str, candidates: Mapping[str, Any], key: str, figure: Any, *, with_count: bool = False) -> str:
    first = next(iter(candidates.values()))[key]
    rows = []
    for part in first:
        name = f"{part} ({first[part]['clips']} clips, {first[part]['minutes']} min)" if with_count else part
        rows.append([name, *(shown(figure(found[key][part])) for found in candidates.values())])
    return _table([title, *candidates], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
