"""The figures of a comparison, on scores worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.calibration import reliability, top_mean
from model.candidates import Candidate, Units, difference, kind_of_noise
from model.dataset import SAMPLE_RATE_HZ, Clip
from model.metrics import alarm_threshold, misses_and_alarms, precision_recall
from model.scoring import Unit

CLIP = Clip(
    path=Path("a.flac"),
    label="call",
    species="",
    site="",
    group="g",
    duration_s=10.0,
    sample_rate_hz=SAMPLE_RATE_HZ,
    source_repository="a/b",
    licence="none",
)
TEN_S = np.zeros(10 * SAMPLE_RATE_HZ, dtype=np.float32)


def unit(label: str, number: int, snr_db: float | None = None, species: str = "") -> Unit:
    """Ten seconds of a recording of its own."""
    return Unit(replace(CLIP, label=label, group=f"{label}-{number}", species=species), TEN_S, snr_db)


def units(some: list[Unit], fold: str = "one") -> Units:
    """All in one fold."""
    return Units(tuple(some), np.array([fold] * len(some)))


def test_one_alarm_in_ten_minutes() -> None:
    """Of 120 ten-second sounds, twenty minutes, two may pass; of half as few as that, one; of nine minutes, none."""
    scores = np.arange(120, dtype=np.float64)
    lengths = np.full(120, 1 / 6)

    assert np.sum(scores > alarm_threshold(scores, lengths)) == 2
    assert np.sum(scores[:60] > alarm_threshold(scores[:60], lengths[:60])) == 1
    assert np.sum(scores[:54] > alarm_threshold(scores[:54], lengths[:54])) == 0


def test_recall_counts_what_noise_lets_through_and_animals_apart() -> None:
    """The threshold for noise asks ships and sea alone; that for all other sounds asks the animals too."""
    some = [*(unit("call", n) for n in range(4)), *(unit("vessel", n) for n in range(3)), unit("other_bio", 0)]
    raw = np.array([5.0, 4.0, 3.0, 1.0, 2.0, 0.0, -1.0, 4.5])
    candidate = Candidate("made", raw, units(some))
    rows = np.arange(8)

    assert candidate.recall(rows) == pytest.approx(3 / 4)
    assert candidate.recall_any(rows) == pytest.approx(1 / 4)


def test_calls_set_into_noise_neither_calibrate_nor_count_among_the_clips() -> None:
    """Figures of recordings are the same with and without the mixed units; recall by ratio is of those alone."""
    recorded = [*(unit("call", n) for n in range(3)), *(unit("vessel", n) for n in range(3))]
    mixed = [unit("call", 0, -5.0), unit("call", 1, -5.0), unit("call", 0, 10.0), unit("call", 1, 10.0)]
    scores = [3.0, 2.0, -0.5, 0.5, 0.0, -1.0]
    alone = Candidate("made", np.array(scores), units(recorded)).figures()
    both = Candidate("made", np.array([*scores, -3.0, 1.0, 4.0, 5.0]), units(recorded + mixed)).figures()

    assert both["by_snr_db"]["-5"]["value"] == 0.5
    assert both["by_snr_db"]["10"]["value"] == 1.0
    assert alone["by_snr_db"] == {}
    assert {key: both[key] for key in both if key != "by_snr_db"} == {
        key: alone[key] for key in alone if key != "by_snr_db"
    }


def test_false_alarms_are_counted_by_what_made_them() -> None:
    """What passes is told apart: ships by their label, animals by their kind."""
    some = [
        *(unit("call", n) for n in range(3)),
        *(unit("vessel", n) for n in range(2)),
        *(unit("other_bio", n, species="Humpback whale") for n in range(2)),
    ]
    found = Candidate("made", np.array([5.0, 4.0, 3.0, 1.0, 0.0, 4.5, 0.5]), units(some)).figures()["false_alarms"]

    assert {kind: (part["clips"], part["value"]) for kind, part in found.items()} == {
        "vessel": (2, 0.0),
        "humpback": (2, 0.5),
    }
    assert found["vessel"]["minutes"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("label", "species", "kind"),
    [
        ("vessel", "Tanker", "vessel"),
        ("other_bio", "false killer whale", "pilot whales and their like"),
        ("other_bio", "spermwhale", "sperm whale"),
        ("other_bio", "probably humpback or white-sided dolphin", "humpback"),
        ("other_bio", "North Atlantic right whale", "other animal"),
    ],
)
def test_kinds_of_noise(label: str, species: str, kind: str) -> None:
    """Species are gathered in kinds; what has none is some other animal."""
    assert kind_of_noise(replace(CLIP, label=label, species=species)) == kind


def test_a_difference_is_paired() -> None:
    """A candidate is exactly as good as itself, however few the recordings, and better than its opposite."""
    some = units([*(unit("call", n) for n in range(6)), *(unit("vessel", n) for n in range(6))])
    raw = np.random.default_rng(1).normal(size=12) + 2 * some.is_call
    one, same, worse = Candidate("one", raw, some), Candidate("same", 3 * raw + 1, some), Candidate("worse", -raw, some)

    assert [difference(one, same)["auprc"][bound] for bound in ("low", "value", "high")] == [0, 0, 0]
    assert difference(one, worse)["auprc"]["low"] > 0


def test_the_two_highest_windows_of_each_unit_count() -> None:
    """The mean of two where there are as many, else of what there is."""
    assert top_mean(np.array([1.0, 5.0, 3.0, 7.0]), np.array([3, 1])) == pytest.approx([4.0, 7.0])


def test_calibration_curve() -> None:
    """Each bin tells its own mean score and share of calls; empty bins are left out."""
    scores, sides = np.array([0.1, 0.2, 0.9, 1.0]), np.array([False, True, True, True])

    assert reliability(scores, sides, bins=2) == [
        {"mean_score": 0.15, "share_of_calls": 0.5, "clips": 2},
        {"mean_score": 0.95, "share_of_calls": 1.0, "clips": 2},
    ]


def test_curves_end_where_everything_passes() -> None:
    """Four scores, two of them equal: one point each for precision and recall, misses and alarms."""
    scores, sides = np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])
    precision, recall = precision_recall(scores, sides)
    misses, alarms = misses_and_alarms(scores, sides)

    assert precision == pytest.approx([1, 2 / 3, 1 / 2])
    assert recall == pytest.approx([1 / 2, 1, 1])
    assert misses == pytest.approx([1 / 2, 0, 0])
    assert alarms == pytest.approx([0, 1 / 2, 1])
