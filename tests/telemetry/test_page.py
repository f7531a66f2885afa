"""The metrics page of `haro run`, as Prometheus reads it."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from shared.demo.station import Station
from shared.telemetry.page import LastingGauges
from tests.conftest import ROOT
from tests.house import publish
from tests.pipeline import haro, hydrophones_file, run_haro

EVERYTHING = """
from datetime import datetime, UTC
from shared.telemetry import metrics
from shared.telemetry.page import metrics_page
from tests.recording.fakes import make_result
import sys
result, now = make_result(), datetime(2026, 3, 20, 19, 2, tzinfo=UTC)
with metrics_page("127.0.0.1", int(sys.argv[1])):
    metrics.clip_scored(result, now)
    metrics.clip_recorded(result, now)
    metrics.gap_found(result.gaps[0])
    metrics.queue_seen(waiting=3, dead=2, oldest_age_s=45.0)
    metrics.hydrophones_polled({"lab": now}, ["lab"], now)
    metrics.model_failed()
    metrics.batches_resent(4)
    metrics.notified("moderators", "sent")
    print("ready", flush=True)
    sys.stdin.read()
"""
EXPECTED = {
    "haro_clips_scored",
    "haro_audio_to_scored_seconds",
    "haro_audio_to_recorded_seconds",
    "haro_gaps",
    "haro_score",
    "haro_queue_age_seconds",
    "haro_queue_waiting",
    "haro_queue_dead",
    "haro_hydrophone_newest_seconds",
    "haro_model_load_failures",
    "haro_polls_failed",
    "haro_resent",
    "haro_notifications",
}


def free_port() -> int:
    """A port nobody listens on, below those from 32768 on that systems give to whoever asks for any."""
    for port in random.SystemRandom().sample(range(20_000, 32_768), 100):
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("every port is taken")


def read_page(port: int) -> dict[str, Metric]:
    """The page as Prometheus understands it."""
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    answer.raise_for_status()
    return {metric.name: metric for metric in text_string_to_metric_families(answer.text)}


@contextmanager
def a_page_with_everything(port: int) -> Iterator[None]:
    """A process that has measured one of each and serves its page."""
    with subprocess.Popen(
        [sys.executable, "-c", EVERYTHING, str(port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


def test_the_page_has_every_instrument_each_time_it_is_read() -> None:
    """All metrics are there under Prometheus' names, on the second reading as on the first, and say who made them."""
    port = free_port()
    with a_page_with_everything(port):
        first, second = read_page(port), read_page(port)

    assert set(first) == set(second) == {*EXPECTED, "target_info"}
    (info,) = (sample.labels for sample in first["target_info"].samples)
    assert (info["service_name"], info["service_version"]) == ("haro", "0.1.0")
    (waiting,) = second["haro_queue_waiting"].samples
    assert (waiting.value, waiting.labels) == (3, {})
    (newest,) = second["haro_hydrophone_newest_seconds"].samples
    assert newest.labels == {"hydrophone": "lab"}
    counts = {
        sample.name: sample.value for sample in second["haro_score"].samples if sample.name != "haro_score_bucket"
    }
    assert counts["haro_score_count"] == 29


def test_haro_run_serves_its_page(tmp_path: Path) -> None:
    """`haro run` with HARO_METRICS_PORT shows on it, while it listens, what it has polled and scored."""
    port = free_port()
    with Station() as station:
        file = hydrophones_file(tmp_path, [publish(station, 6)])
        environment = {"HARO_METRICS_PORT": str(port), "HARO_MIN_FREE_GB": "0", "HARO_POLL_INTERVAL_S": "0.2"}
        process = haro("run", "--hydrophones", file, "--data", tmp_path / "data", env=environment)
        try:
            found = wait_for(process, port, "haro_clips_scored")
        finally:
            process.terminate()
            out, err = process.communicate(timeout=60)

    assert process.returncode == 0, (out, err)
    (scored,) = (one for one in found["haro_clips_scored"].samples if one.name == "haro_clips_scored_total")
    assert (scored.value, scored.labels["hydrophone"]) == (1, "test_node")
    assert {"haro_hydrophone_newest_seconds", "haro_queue_waiting", "haro_score"} <= set(found)


def wait_for(process: subprocess.Popen[str], port: int, name: str) -> dict[str, Metric]:
    """The page once it has that metric."""
    while process.poll() is None:
        try:
            page = read_page(port)
        except requests.ConnectionError:
            page = {}
        if name in page:
            return page
        time.sleep(0.1)
    pytest.fail("haro run ended before it had scored anything")


def test_a_port_that_is_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else's port is a mistake in the settings, named as one before anything is listened to."""
    monkeypatch.setattr("shared.telemetry.page._registry", CollectorRegistry)  # a process can have but one SDK
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = run_haro("run", "--data", tmp_path, env={"HARO_METRICS_PORT": port})

    assert code != 0
    assert "HARO_METRICS_PORT" in out + err
    assert "Traceback" not in out + err


class OnceOnly(Collector):
    """A registry that gives each value once, as the SDK does with gauges."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def collect(self) -> list[Metric]:
        """What was not given before."""
        given, self.given = self.given, []
        return given


def test_a_gauge_lasts_until_it_is_set_anew() -> None:
    """Each series keeps its last value on its own; a new one replaces it."""
    fresh, source = CollectorRegistry(), OnceOnly()
    fresh.register(source)
    page = LastingGauges(fresh)

    def shown(**values: float) -> dict[str, float]:
        registry = CollectorRegistry()
        gauge = Gauge("newest", "", ["hydrophone"], registry=registry)
        for name, value in values.items():
            gauge.labels(name).set(value)
        source.given = list(registry.collect())
        return {sample.labels["hydrophone"]: sample.value for metric in page.collect() for sample in metric.samples}

    assert shown(a=1, b=2) == {"a": 1, "b": 2}
    assert shown() == {"a": 1, "b": 2}
    assert shown(b=3, c=4) == {"a": 1, "b": 3, "c": 4}


def test_who_wants_no_page_loads_no_sdk(tmp_path: Path) -> None:
    """Without a port, a whole `haro run` leaves the SDK and the exporters unloaded; so does the app without Azure's."""
    code = (
        "import sys\n"
        "import function_app\n"
        "from tests.pipeline import run_haro\n"
        f"code, out, err = run_haro('run', '--hydrophones', {str(tmp_path / 'none.json')!r}, '--data',"
        f" {str(tmp_path / 'data')!r}, '--until-idle', '--idle-after', '0.1', env={{'HARO_HTTP_ATTEMPTS': '1'}})\n"
        "assert code == 0, err\n"
        "print(sorted(name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter',"
        " 'prometheus_client', 'azure.monitor'))))\n"
        "assert 'opentelemetry.trace' in sys.modules\n"
    )
    (tmp_path / "none.json").write_text('[{"id": "none", "stream_url": "http://127.0.0.1:9"}]')
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip().splitlines()[-1:]) == (0, ["[]"]), done.stderr
