"""The clock that stages are handed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""Tells the time: aware, in UTC."""
