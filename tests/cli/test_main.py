"""The command itself: how it ends when it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.pipeline import run_haro

INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
signal.signal(signal.SIGINT, {handler})
from shared.cli import main
sys.argv[1:] = {arguments!r}
main()
"""


def interrupted(module: str, *arguments: str, handler: str = "signal.default_int_handler") -> tuple[int, str, str]:
    """Run the command line in a process that a Ctrl-C reaches when it is about to import that module."""
    program = INTERRUPTED.format(module=module, handler=handler, arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("module", ["shared.errors", "shared.cli.commands", "numpy", "onnxruntime", "shared.cli.score"])
def test_a_ctrl_c_while_it_loads_just_ends_it(module: str) -> None:
    """Whatever is being imported, the process ends by the signal and says nothing."""
    assert interrupted(module, "score", "absent.wav") == (-signal.SIGINT, "", "")


def test_a_ctrl_c_at_work_ends_with_130() -> None:
    """Once loaded, a command is interrupted as Python does it, so that it can tidy up; there is no traceback."""
    code, _, err = interrupted("shared.demo.day", "demo")

    assert (code, "Traceback" in err) == (130, False)


def test_where_a_ctrl_c_is_to_be_ignored_it_is() -> None:
    """In the background of a script, where SIGINT is ignored, loading goes on as well."""
    code, out, _ = interrupted("numpy", "--help", handler="signal.SIG_IGN")

    assert code == 0
    assert "Usage: " in out


def test_who_calls_it_keeps_their_handler() -> None:
    """Imported and called in another process, as tests do, the command leaves the handling of signals as it was."""
    before = signal.getsignal(signal.SIGINT)

    assert run_haro("--help")[0] == 0
    assert signal.getsignal(signal.SIGINT) is before
