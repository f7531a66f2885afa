"""Judge a model file: `python -m model.evaluate --data FOLDER --file model/haro-orca.onnx`.

Three tests, none of which took part in training or calibration: the test split, minutes of synthetic sea from seeds of
their own, and (with `--segments`) live segments in which no orca is confirmed. What its network does on sources left
out is the matter of `model.compare`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from model.baselines import BASELINES
from model.calibration import top_mean
from model.dataset import Clip, Sounds, in_split, read_labels
from model.examples import FRONT_END
from model.metrics import Rows, Values, average_precision, interval_of
from model.minutes import QUIET_KINDS, call_minute, quiet_minute
from model.plots import draw
from model.scoring import Features, Unit, confidences, detected_share, features_of, metrics_of, units_of
from shared.scoring.decision import decide
from shared.scoring.detector import Detector
from shared.scoring.frontend import LogMel
from shared.scoring.model_file import MeanTopK
from shared.scoring.recording import score_recording

SNRS_DB = (20, 15, 10, 5, 0, -5)
SYNTHETIC_SEED = 90_000
"""Training draws from seeds of a few thousand at most."""


def test_split(detector: Detector, clips: tuple[Clip, ...], sounds: Sounds, threshold: float) -> dict[str, Any]:
    """What the model makes of the test split: ranking, and shares above its threshold by source."""
    units = units_of(in_split(clips, "test"), sounds)
    features = features_of(units)
    scores = confidences(features, lambda windows: detector.score(windows).scores)
    report = metrics_of(scores, units) | {"baselines": baselines(scores, units, features)}
    report["detected"] = {}
    for source, label in sorted({(unit.clip.source, unit.clip.label) for unit in units}):
        chosen = [index for index, unit in enumerate(units) if (unit.clip.source, unit.clip.label) == (source, label)]
        report["detected"][f"{source}: {label}"] = detected_share(scores[chosen], [units[i] for i in chosen], threshold)
    report["scores"] = {"call": [], "other": []}
    for score, unit in zip(scores, units, strict=True):
        report["scores"]["call" if unit.clip.is_call else "other"].append(round(float(score), 3))
    return report


def baselines(scores: Values, units: Sequence[Unit], features: Sequence[Features]) -> dict[str, Any]:
    """What the baselines make of the same units, and by how much the model's AUPRC is higher, paired."""
    is_call = np.array([unit.clip.is_call for unit in units])
    groups = [unit.group for unit in units]
    sizes, heard = np.array([len(windows) for windows in features]), np.concatenate(features)
    found = {}
    for name, measure in BASELINES.items():
        raw = top_mean(measure(heard), sizes)

        def better(rows: Rows, raw: Values = raw) -> float:
            return average_precision(scores[rows], is_call[rows]) - average_precision(raw[rows], is_call[rows])

        found[name] = metrics_of(raw, units) | {"model_auprc_less_its": interval_of(better, is_call, groups).to_json()}
    return found


def synthetic(detector: Detector, minutes: int, threshold: float) -> dict[str, Any]:
    """Shares of synthetic minutes detected: with three calls at each ratio, and without any, of each kind."""
    log_mel = LogMel(detector.metadata.front_end)
    kinds: list[str | int] = [*SNRS_DB, *QUIET_KINDS]
    report: dict[str, Any] = {"minutes_each": minutes, "calls_at_snr_db": {}, "no_calls": {}}
    for number, kind in enumerate(track(kinds, "synthetic minutes")):
        found = []
        for index in range(minutes):
            rng = np.random.default_rng([SYNTHETIC_SEED, number, index])
            minute = call_minute(rng, kind) if isinstance(kind, int) else quiet_minute(rng, kind)
            scores = detector.score(log_mel.model_input(log_mel.mel_db(minute))).scores
            found.append(decide(detector.metadata.decision, scores, threshold=threshold).detected)
        side = "calls_at_snr_db" if isinstance(kind, int) else "no_calls"
        report[side][str(kind)] = round(float(np.mean(found)), 3)
    return report


def live_segments(detector: Detector, folder: Path) -> dict[str, float]:
    """The confidence of each published segment in `folder`, 10 s each; none holds a confirmed call."""
    log_mel = LogMel(detector.metadata.front_end)
    paths = sorted(folder.glob("*.ts"))
    return {path.name: round(score_recording(path, detector, log_mel).confidence, 3) for path in paths}


def main(
    data: Annotated[Path, typer.Option(help="Folder with labels.csv and its recordings.")],
    file: Annotated[Path, typer.Option(help="The model file to judge.")],
    segments: Annotated[Path | None, typer.Option(help="A folder of live segments (*.ts) without calls.")] = None,
    report: Annotated[Path, typer.Option(help="The JSON file to write.")] = Path("model/evaluation.json"),
    picture: Annotated[Path, typer.Option(help="The picture to draw.")] = Path("docs/images/model-evaluation.png"),
    minutes: Annotated[int, typer.Option(help="Synthetic minutes of each kind.")] = 40,
) -> None:
    """Write the figures that the model card quotes."""
    detector = Detector.load(file, threads=2)
    policy = detector.metadata.decision
    threshold = policy.threshold if isinstance(policy, MeanTopK) else policy.local_threshold
    clips = read_labels(data)
    figures: dict[str, Any] = {
        "model_version": detector.metadata.model_version,
        "threshold": threshold,
        "front_end": FRONT_END.model_dump(),
        "test_split": test_split(detector, clips, Sounds(), threshold),
        "synthetic": synthetic(detector, minutes, threshold),
    }
    if segments is not None:
        figures["live_segments"] = live_segments(detector, segments)
    report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    draw(figures, picture)


if __name__ == "__main__":
    typer.run(main)
