"""A clock that goes when it is told to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START_UTC = datetime(2026, 3, 20, 22, 35, 59, tzinfo=UTC)


class FakeClock:
    """Called, it tells its time; `advance` moves it."""

    def __init__(self, start_utc: datetime = START_UTC) -> None:
        self.now_utc = start_utc

    def __call__(self) -> datetime:
        """The time it stands at."""
        return self.now_utc

    def advance(self, seconds: float) -> None:
        """Move forward (or, with a negative number, back)."""
        self.now_utc += timedelta(seconds=seconds)
