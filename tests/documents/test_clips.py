"""A detection keeps its id for ever."""

from __future__ import annotations

import uuid

from tests.documents.makers import EPOCH, make_result


def test_a_detection_has_the_same_id_for_ever() -> None:
    """UUIDv5 of batch and model version: people hold these ids, so the formula must never change."""
    result = make_result()

    assert result.clip_id == f"test_bay:{EPOCH}:6-11"
    assert result.detection_id == "b5f3ca34-5e1f-5ea4-a062-e3fde64635e8"
    assert uuid.UUID(result.detection_id).version == 5
    assert make_result(confidence=0.9, timings_s={"decode": 1.0}).detection_id == result.detection_id
    assert make_result(model_version="haro-orca-2").detection_id != result.detection_id
    assert make_result(batch_id=f"test_bay/{EPOCH}/12-17").detection_id != result.detection_id
