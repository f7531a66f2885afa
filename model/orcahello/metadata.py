"""What the exported model says of itself: one network, published with two front ends and two policies."""

from __future__ import annotations

from enum import StrEnum

from model.orcahello.weights import CLASSES, EMBEDDING_DIM, Weights, digest
from shared.scoring.frontend import ORCAHELLO_2S, ORCAHELLO_3S
from shared.scoring.model_file import MeanTopK, ModelMetadata, SmoothedCount


class PolicyName(StrEnum):
    """The policies the weights have been used with."""

    MEAN_TOP_K = "mean_top_k"
    SMOOTHED_COUNT = "smoothed_count"


def metadata_of(weights: Weights, policy: PolicyName) -> ModelMetadata:
    """OrcaHello as it listens now (3-s windows, `mean_top_k`), or as until March 2026 (2-s windows, `smoothed_count`).

    The version names the windows and the weights, by the first digits of their digest.
    """
    now = policy is PolicyName.MEAN_TOP_K
    front_end = ORCAHELLO_3S if now else ORCAHELLO_2S
    return ModelMetadata(
        name="orcahello-srkw-detector-v1",
        version=f"{front_end.window_s:g}s-{digest(weights)[:12]}",
        classes=CLASSES,
        positive_class=CLASSES[1],
        embedding_dim=EMBEDDING_DIM,
        front_end=front_end,
        decision=MeanTopK(k=2, threshold=0.6, local_threshold=0.5) if now else SmoothedCount(),
        training_data=(
            "Pod.Cast rounds 1 to 12 and false positives of the live system, November 2020 (Orcasound, OrcaHello)"
        ),
        licence="OrcaHello RAIL-AMS: use is restricted, read it beside the weights",
    )
