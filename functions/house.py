"""The one house of this function host: made on first use, shared by every trigger, closed when the process ends."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import cache

from shared.bootstrap import House, open_house
from shared.settings import load_settings


@cache
def the_house() -> House:
    """The house for the settings of this app."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(open_house(load_settings()))
