"""The one house of this function host: made on first use, shared by every trigger, closed when the process ends."""

from __future__ import annotations

import atexit
import logging
import threading
from contextlib import ExitStack
from functools import cache

from shared.bootstrap import open_house
from shared.house import House
from shared.settings import load_settings

_opening = threading.Lock()


def the_house() -> House:
    """The house for the settings of this app."""
    with _opening:  # the host may call several triggers at once
        return _opened()


@cache
def _opened() -> House:
    settings = load_settings()
    for name in ("shared", "functions"):
        logging.getLogger(name).setLevel(settings.log_level)
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(open_house(settings))
