"""`haro detections` and `haro review`: what was found, and what it was."""

from __future__ import annotations

import json
from pathlib import Path

from shared.demo.station import Station
from tests.pipeline import hydrophones_file, publish_synthetic, run_haro


def test_review_confirms_a_detection_in_orcahellos_words(station: Station, tmp_path: Path) -> None:
    """A detection is listed, confirmed by its first characters, and then carries the moderator's fields."""
    node = publish_synthetic(station, "test_node")
    data = tmp_path / "data"
    run_haro(
        "run", "--hydrophones", hydrophones_file(tmp_path, [node]), "--data", data, "--until-idle", "--idle-after", "1"
    )
    _, out, _ = run_haro("detections", "--json", "--data", data)
    first = json.loads(out.splitlines()[0])

    code, _, err = run_haro(
        "review",
        first["id"][:8],
        "yes",
        "--moderator",
        "sam",
        "--tags",
        "S01,S16",
        "--comments",
        "J pod",
        "--data",
        data,
    )

    assert code == 0, err
    _, out, _ = run_haro("detections", "--json", "--data", data)
    reviewed = next(body for body in map(json.loads, out.splitlines()) if body["id"] == first["id"])
    assert (reviewed["reviewed"], reviewed["SRKWFound"], reviewed["tags"]) == (True, "yes", "S01;S16")
    _, out, _ = run_haro("detections", "--data", data)
    assert f"{first['id']} {data / 'detections'}" in out, "id and picture stand whole in a line of their own"
    code, _, err = run_haro("review", "ffffffff", "no", "--data", data)
    assert code == 1
    assert "haro detections" in err
