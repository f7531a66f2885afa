"""`haro doctor --azure`: the deployment that azd made is found, and its app asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shared.cli.deployment import check_app, read_outputs, variables
from shared.connections import load_connections
from shared.errors import SettingsError
from shared.settings import load_settings
from tests.emulators.account import Ports, run_account
from tests.emulators.azurite import missing
from tests.pipeline import run_haro

OUTPUTS = {
    "SERVICE_BUS_NAMESPACE": "haro.servicebus.windows.net",
    "COSMOS_ENDPOINT": "https://haro.documents.azure.com:443/",
    "COSMOS_DATABASE": "orcas",
    "BLOB_SERVICE_URI": "https://haro.blob.core.windows.net/",
    "FUNCTION_APP_URL": "https://haro.azurewebsites.net",
}


def write_environment(folder: Path, name: str, outputs: dict[str, str]) -> None:
    """An environment as azd writes it."""
    (folder / name).mkdir(parents=True)
    (folder / name / ".env").write_text("".join(f'{key}="{value}"\n' for key, value in outputs.items()))


@contextmanager
def app_answering(status: int, body: str) -> Iterator[str]:
    """An app that answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_default_environment_is_read(tmp_path: Path) -> None:
    """Without a name it is azd's default environment; with one, that."""
    write_environment(tmp_path, "production", OUTPUTS)
    write_environment(tmp_path, "trial", OUTPUTS | {"COSMOS_DATABASE": "trial"})
    (tmp_path / "config.json").write_text('{"version": 1, "defaultEnvironment": "production"}')

    assert read_outputs(None, folder=tmp_path) == OUTPUTS
    assert read_outputs("trial", folder=tmp_path)["COSMOS_DATABASE"] == "trial"


def test_what_azd_wrote_leads_to_the_deployments_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and connections are whole with the variables made of it."""
    for name, value in variables(OUTPUTS).items():
        monkeypatch.setenv(name, value)

    assert (load_settings().storage, load_settings().cosmos_database) == ("azure", "orcas")
    assert load_connections().cosmos_endpoint == OUTPUTS["COSMOS_ENDPOINT"]
    assert "HARO_HYDROPHONES" not in variables(OUTPUTS)


def test_a_deployment_with_its_own_hydrophones_is_asked_for_those() -> None:
    """The list that was deployed is the one whose hearing is checked."""
    assert variables(OUTPUTS | {"HARO_HYDROPHONES": "shared/mine.toml"})["HARO_HYDROPHONES"] == "shared/mine.toml"


@pytest.mark.parametrize("name", [None, "none"])
def test_where_nothing_was_provisioned_it_says_what_to_do(tmp_path: Path, name: str | None) -> None:
    """No folder of azd's, or no such environment: an error that names the file and the way out."""
    with pytest.raises(SettingsError, match=r"--environment|name one") as caught:
        read_outputs(name, folder=tmp_path / ".azure")

    assert ".azure" in str(caught.value)


def test_missing_outputs_are_named(tmp_path: Path) -> None:
    """An environment that was not provisioned to its end names what it lacks."""
    write_environment(tmp_path, "half", {"COSMOS_ENDPOINT": OUTPUTS["COSMOS_ENDPOINT"]})

    with pytest.raises(
        SettingsError, match="SERVICE_BUS_NAMESPACE, COSMOS_DATABASE, BLOB_SERVICE_URI, FUNCTION_APP_URL"
    ):
        read_outputs("half", folder=tmp_path)


@pytest.mark.parametrize(
    ("status", "body", "ok", "found"),
    [
        (200, json.dumps({"status": "ok", "checks": {"model": True}}), True, "answers"),
        (503, json.dumps({"status": "not ready", "checks": {"model": True, "queue": False}}), False, "queue"),
        (404, "<html>not here</html>", False, "HTTP 404"),
    ],
)
def test_the_app_is_asked(status: int, body: str, *, ok: bool, found: str) -> None:
    """A healthy app answers; a part that is not in order is named; an app without functions is told as such."""
    with app_answering(status, body) as url:
        live, ready = check_app({"FUNCTION_APP_URL": url})

    assert (live.ok, ready.ok) == (ok, ok)
    assert found in ready.found
    assert bool(ready.to_do) != ok


def test_an_app_that_does_not_answer_is_told(tmp_path: Path) -> None:
    """Nobody at the address: named, with what to do."""
    live, _ = check_app({"FUNCTION_APP_URL": "http://127.0.0.1:9"})

    assert not live.ok
    assert "azd deploy" in live.to_do


def test_doctor_looks_into_storage_in_azure(tmp_path: Path) -> None:
    """On the stand-ins, queue, blobs, documents and every container are found in order, one line each."""
    if reason := missing():
        pytest.skip(reason)
    hydrophones = tmp_path / "none.json"
    hydrophones.write_text('[{"id": "a", "stream_url": "http://127.0.0.1:9/a"}]')
    with run_account(Ports(0, 0, 0, 0, 0)) as settings:
        code, out, err = run_haro(
            "doctor",
            "--hydrophones",
            hydrophones,
            env={"COLUMNS": "200", "HARO_STORAGE": "azure", "HARO_HTTP_ATTEMPTS": "1", **settings},
        )

    lines = {line.split("│")[1].strip(): line for line in out.splitlines() if line.startswith("│")}
    assert code == 1, err
    assert [name for name, line in lines.items() if " wrong " in line] == ["stream a"]
    assert {"queue", "blobs", "documents", "documents metadata", "blobs detections", "dead letters"} <= set(lines)


def test_run_is_not_for_azure() -> None:
    """There the functions do the work: `haro run` says so instead of doing it twice."""
    code, _, err = run_haro("run", env={"HARO_STORAGE": "azure"})

    assert code == 1
    assert "the functions do the work" in err
