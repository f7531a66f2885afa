"""The command `haro`: the app as a laptop sees it."""

from __future__ import annotations

import signal
import sys
from io import TextIOWrapper


def main() -> None:
    """Run the command line: 0 when all went well, 1 when something did not, 2 for wrong usage; never a traceback."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:  # elsewhere it is ignored, as in the background of a script
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C within the second of imports ends the process, no more
    from shared.cli.commands import app, log_to_terminal  # noqa: PLC0415 - not before
    from shared.errors import HaroError, SettingsError  # noqa: PLC0415 - nor this

    try:
        signal.signal(signal.SIGINT, on_interrupt)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # file names need not be text
        log_to_terminal()
        app()
    except HaroError as error:
        sys.stderr.write(f"haro: {error}\n")
        raise SystemExit(2 if isinstance(error, SettingsError) else 1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone; nothing is left to say, and nobody to say it to
        raise SystemExit(1) from None
