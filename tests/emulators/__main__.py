"""Haro's services in Azure, on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.emulators.account import Ports, prepare, run_account
from tests.emulators.azurite import missing

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "local.settings.json.example"
WRITTEN = ROOT / "local.settings.json"


def local_settings(settings: Mapping[str, str]) -> str:
    """The text of local.settings.json: the example, what one's own file says otherwise, and these settings."""
    file = json.loads(EXAMPLE.read_text())
    if WRITTEN.exists():
        file["Values"] |= json.loads(WRITTEN.read_text())["Values"]
    file["Values"] |= settings
    return json.dumps(file, indent=2) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Start all, say the settings, and wait to be told to stop."""
    parser = argparse.ArgumentParser(prog="python -m tests.emulators", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {WRITTEN.name}, for `func start`")
    parser.add_argument("--any-port", action="store_true", help="listen on free ports instead of the usual ones")
    parser.add_argument("--prepare", action="store_true", help="only set up what compose.yaml runs, and end")
    options = parser.parse_args(arguments)
    if options.prepare:
        prepare(json.loads(local_settings({}))["Values"])
        return
    if reason := missing():
        sys.exit(reason)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with run_account(Ports(0, 0, 0, 0, 0) if options.any_port else Ports()) as settings:
        text = local_settings(settings)
        if options.write:
            WRITTEN.write_text(text)
        values = json.loads(text)["Values"]
        sys.stdout.writelines(f"{name}={value}\n" for name, value in values.items())
        written = f"{WRITTEN.name} is written." if options.write else "--write makes a local.settings.json of them."
        sys.stdout.write(f"\nThese settings lead to the emulators. {written} Ctrl-C ends them.\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
