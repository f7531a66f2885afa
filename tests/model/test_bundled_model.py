"""The model file that is shipped, and what its card says of it. None of this needs torch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from model.minutes import QUIET_KINDS, call_minute, quiet_minute
from shared.scoring.decision import Decision, decide
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from tests.conftest import ROOT

MODEL = Path(__file__).parents[2] / "model"
FILE = MODEL / "haro-orca.onnx"
SEED = 7_000_000
"""Neither training nor evaluation draws from it."""


@pytest.fixture(scope="module")
def detector() -> Detector:
    """The bundled model, on one thread."""
    return Detector.load(FILE, threads=1)


@pytest.fixture(scope="module")
def evaluation() -> dict[str, Any]:
    """The committed figures."""
    figures: dict[str, Any] = json.loads((MODEL / "evaluation.json").read_text(encoding="utf-8"))
    return figures


def heard(detector: Detector, minute: np.ndarray[Any, np.dtype[np.float32]]) -> Decision:
    """What the model's own policy makes of a minute at the model's rate."""
    log_mel = LogMel(detector.metadata.front_end)
    scores = detector.score(log_mel.model_input(log_mel.mel_db(minute))).scores
    return decide(detector.metadata.decision, scores)


def test_file_is_small_and_names_itself(detector: Detector) -> None:
    """The file is at most 10 MB, has no data beside it, and its metadata say which model it is."""
    assert FILE.stat().st_size <= 10_000_000
    assert sorted(MODEL.glob("*.onnx*")) == [FILE]
    assert detector.metadata.model_version == "haro-orca/1.1.0"
    assert detector.metadata.classes == ("other", "orca_call")
    assert detector.metadata.positive_class == "orca_call"
    assert "non-commercial" in detector.metadata.licence.lower() or "NC" in detector.metadata.licence


def test_file_tells_nothing_of_the_machine_that_made_it() -> None:
    """Metadata are the model's own, not those of its nodes and values, and no path or source file is in its bytes."""
    model = onnx.load(str(FILE))
    graph = model.graph
    parts = [graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output, *model.functions]

    assert [entry.key for entry in model.metadata_props] == ["haro"]
    assert not any(part.metadata_props or part.doc_string for part in parts)
    assert not re.search(rb"/home|\w\w\.py|" + re.escape(bytes(ROOT)), FILE.read_bytes())


@pytest.mark.parametrize("index", range(4))
def test_calls_are_heard(detector: Detector, index: int) -> None:
    """A minute with three clear synthetic calls is detected."""
    decision = heard(detector, call_minute(np.random.default_rng([SEED, index]), snr_db=15))

    assert decision.detected, f"confidence {decision.confidence:.3f}"


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("kind", ["noise", "ship"])
def test_noise_and_ships_are_not_calls(detector: Detector, kind: str, index: int) -> None:
    """A minute of sea, with or without a passing ship, is not detected."""
    decision = heard(detector, quiet_minute(np.random.default_rng([SEED, QUIET_KINDS.index(kind), index]), kind))

    assert not decision.detected, f"confidence {decision.confidence:.3f}"


def test_level_and_steady_background_do_not_matter(detector: Detector) -> None:
    """The same minute 30 dB fainter scores alike: the model hears contrast, not level."""
    minute = call_minute(np.random.default_rng([SEED, 99]), snr_db=10)

    assert heard(detector, minute * np.float32(0.03)).confidence == pytest.approx(
        heard(detector, minute).confidence, abs=0.02
    )


def test_published_segments_are_quiet(detector: Detector, evaluation: dict[str, Any], shared_dir: Path) -> None:
    """The twelve live segments without a confirmed orca score below the threshold, as the evaluation says."""
    from model.evaluate import live_segments  # noqa: PLC0415 - imports matplotlib

    found = live_segments(detector, shared_dir / "audio" / "segments")

    assert found == pytest.approx(evaluation["live_segments"], abs=0.02)
    assert max(found.values()) < evaluation["threshold"]


def test_card_quotes_the_evaluation(evaluation: dict[str, Any]) -> None:
    """Every row of figures in the card stands in `evaluation.json`, and none is missing."""
    card = (MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    from model.card import figures_tables  # noqa: PLC0415 - belongs to this test alone

    tables = figures_tables(evaluation)

    assert tables in card


def test_card_quotes_the_comparison() -> None:
    """The tables of networks and baselines in the card are those of `comparison.json`, which names what is shipped."""
    card = (MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    from model.comparison_tables import comparison_tables  # noqa: PLC0415 - belongs to this test alone

    comparison = json.loads((MODEL / "comparison.json").read_text(encoding="utf-8"))

    assert comparison_tables(comparison) in card
    assert set(comparison["candidates"]) == {"cnn", "separable", "pcen", "energy", "entropy"}


def test_card_names_every_source() -> None:
    """Each repository that training data came from, and each licence, is in the card."""
    card = (MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.-]+/[\w.-]+) \|", card, flags=re.MULTILINE)

    assert len(rows) == len(set(rows)) >= 10
