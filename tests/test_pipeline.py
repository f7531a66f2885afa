"""The whole way, from a stream over HTTP to documents and people, as `haro run` goes it."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from typing import Any

import m3u8

from shared.demo.encoder import EncodedSegment
from shared.demo.node import Node
from shared.demo.station import Station
from shared.documents import CLIPS, DETECTIONS, GAPS, OUTBOX
from tests.pipeline import (
    EPOCHS,
    Leftovers,
    haro,
    hydrophones_file,
    leftovers,
    publish_synthetic,
    published,
    run_haro,
)
from tests.recording.servers import http_server

_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
IDLE = ("--until-idle", "--idle-after", "1")


def test_every_published_segment_is_scored_once_or_told_once(station: Station, tmp_path: Path) -> None:
    """Restart, missing and corrupt segment: each published segment is in exactly one result or one gap record."""
    node = publish_synthetic(station, "test_node")

    code, out, err = run_haro(
        "run", "--hydrophones", hydrophones_file(tmp_path, [node]), "--data", tmp_path / "data", *IDLE
    )

    assert code == 0, err
    after = leftovers(tmp_path / "data")
    assert after.accounted() == dict.fromkeys(published("test_node"), 1)
    reasons = {(gap["first_index"], gap["reason"]) for gap in after.documents[GAPS.name]}
    assert reasons == {(4, "missing"), (8, "corrupt"), (None, "stream_restarted")}
    assert len(after.documents[CLIPS.name]) == len(after.results) == 5
    assert "detections" in out


def test_calls_are_detected_where_they_are_and_nowhere_else(station: Station, tmp_path: Path) -> None:
    """Both minutes that hold calls become detections with audio and picture; the minutes of plain sea do not."""
    node = publish_synthetic(station, "test_node")

    run_haro("run", "--hydrophones", hydrophones_file(tmp_path, [node]), "--data", tmp_path / "data", *IDLE)

    after = leftovers(tmp_path / "data")
    detected = {(r.provenance.epoch, r.provenance.first_index) for r in after.results if r.detected}
    assert detected == {(EPOCHS[0], 0), (EPOCHS[1], 0)}
    for detection in after.documents[DETECTIONS.name]:
        audio = detection["audioUri"].removeprefix("file:///station/")
        picture = detection["imageUri"].removeprefix("file:///station/")
        assert after.blobs[audio].startswith(b"fLaC")
        assert after.blobs[picture].startswith(b"\x89PNG")
        assert detection["source_guid"] == "test_node"


def test_real_segments_over_loopback(station: Station, shared_dir: Path, tmp_path: Path) -> None:
    """Twelve segments as real nodes published them: each is scored once and nothing is lost."""
    files = sorted((shared_dir / "audio" / "segments").glob("live*.ts"), key=lambda path: int(path.stem[4:]))
    node = Node(station, "real_node")
    node.start_folder(EPOCHS[0])
    for index, file in enumerate(files):
        node.add(EncodedSegment(index, 10.005333, file.read_bytes()))
    assert len(m3u8.loads(node.playlist().decode()).segments) == 12

    code, _, err = run_haro(
        "run", "--hydrophones", hydrophones_file(tmp_path, [node]), "--data", tmp_path / "data", *IDLE
    )

    assert code == 0, err
    after = leftovers(tmp_path / "data")
    assert after.accounted() == {("real_node", EPOCHS[0], index): 1 for index in range(12)}
    assert after.documents[GAPS.name] == []
    assert after.documents[DETECTIONS.name] == [], "there is no confirmed orca call in these segments"
    assert {clip["health"]["state"] for clip in after.documents[CLIPS.name]} == {"online"}


def test_dead_hydrophone_costs_the_living_one_nothing(station: Station, tmp_path: Path) -> None:
    """A hydrophone whose server does not answer is said so in one line; the other is scored to its end."""
    alive = publish_synthetic(station, "test_node")
    station.fail("dead_node/*", 503, times=None)

    code, out, err = run_haro(
        "run",
        "--hydrophones",
        hydrophones_file(tmp_path, [Node(station, "dead_node"), alive]),
        "--data",
        tmp_path / "data",
        *IDLE,
    )

    assert code == 0, err
    told = [line for line in out.splitlines() if "Dead_Node" in line]
    assert len(told) == 1
    assert "unreachable" in told[0]
    assert leftovers(tmp_path / "data").accounted() == dict.fromkeys(published("test_node"), 1)


def test_passing_faults_of_the_server_change_nothing(station: Station, tmp_path: Path) -> None:
    """503s, cut bodies, a half-written playlist: the same final state as from a server that never fails."""
    node = publish_synthetic(station, "test_node")
    calm = listen(node, tmp_path / "calm", tmp_path)
    station.fail("test_node/*live00[0-3].ts", 503, times=4)
    station.cut("test_node/*live005.ts", 5000, times=1)
    station.answer("test_node/*/live.m3u8", b"#EXTM3U\n#EXTINF:10.0", times=1)
    station.fail("test_node/latest.txt", 500, times=1)

    assert listen(node, tmp_path / "troubled", tmp_path).lasting() == calm.lasting()


def test_killed_ten_times_it_ends_as_if_never_interrupted(station: Station, tmp_path: Path) -> None:
    """SIGKILL at ten random points: database, blobs and notifications end up equal to those of an unbroken run."""
    node = publish_synthetic(station, "test_node")
    rng = random.Random(20260320)
    with http_server() as people:
        calm = listen(node, tmp_path / "calm", tmp_path, people.port)
        told_calm = set(told(people.requests))
        people.requests.clear()
        for _ in range(10):
            kill_after(node, tmp_path / "killed", tmp_path, people.port, rng)
        broken = listen(node, tmp_path / "killed", tmp_path, people.port)

    assert broken.lasting() == calm.lasting()
    assert set(told(people.requests)) == told_calm
    assert all(len(keys) == 1 for keys in told(people.requests).values()), "only the very same message may be repeated"
    assert told_calm == {entry["detection_id"] for entry in calm.documents[OUTBOX.name] if entry.get("state") == "sent"}
    assert told_calm


def listen(node: Node, data: Path, folder: Path, port: int | None = None) -> Leftovers:
    """Listen to a node until nothing more comes, and return what that left."""
    code, out, err = run_haro(*arguments(node, data, folder), env=environment(port))
    assert code == 0, out + err
    return leftovers(data)


def kill_after(node: Node, data: Path, folder: Path, port: int, rng: random.Random) -> None:
    """Start listening, never to end, and kill the process some moments after its first word."""
    with haro(*endless(node, data, folder), env=environment(port)) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.8))
        assert process.poll() is None
        process.kill()
        process.communicate()


def arguments(node: Node, data: Path, folder: Path) -> tuple[str | Path, ...]:
    """The command line to listen to a node until nothing more comes."""
    return (*endless(node, data, folder), *IDLE)


def endless(node: Node, data: Path, folder: Path) -> tuple[str | Path, ...]:
    """The command line to listen to a node."""
    return ("run", "--hydrophones", hydrophones_file(folder, [node]), "--data", data)


def environment(port: int | None) -> dict[str, str]:
    """The settings that tell people, where there are any; a batch that is often interrupted is no poison."""
    return {"HARO_MODERATOR_CHANNELS": f"json://127.0.0.1:{port}/hook", "HARO_MAX_DELIVERIES": "50"} if port else {}


def told(requests: list[tuple[str, dict[str, str], Any]]) -> dict[str, set[str]]:
    """The detections people were told of, each with the keys of the messages that named it."""
    found: dict[str, set[str]] = {}
    for _, headers, body in requests:
        for detection_id in _UUID.findall(body["message"]):
            found.setdefault(detection_id, set()).add(headers["Idempotency-Key"])
    return found
