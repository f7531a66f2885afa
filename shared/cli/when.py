"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

PACIFIC = ZoneInfo("America/Los_Angeles")


def parse_when(text: str) -> datetime:
    """Read an ISO-8601 time; without an offset it is US/Pacific local time, as OrcaHello's users type it. Returns UTC.

    Raises ValueError for anything else, and for a local time that a change of the clocks skipped.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write 2020-09-01T15:13-07:00, 2020-09-01T22:13Z, or local 2020-09-01T15:13"
        ) from None
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        utc = moment.replace(tzinfo=PACIFIC).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} lies beyond what a calendar can hold") from None
    if utc.astimezone(PACIFIC).replace(tzinfo=None) != moment:
        raise ValueError(f"{text!r} never was in US/Pacific: the clocks went forward over it. Give an offset.")
    return utc
