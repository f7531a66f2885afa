"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cli.when import PACIFIC, parse_when


def test_local_time_is_us_pacific_with_its_daylight_saving() -> None:
    """Without an offset a time is US/Pacific: seven hours behind UTC in summer, eight in winter."""
    assert parse_when("2020-09-01T15:13") == datetime(2020, 9, 1, 22, 13, tzinfo=UTC)
    assert parse_when("2020-12-01 15:13") == datetime(2020, 12, 1, 23, 13, tzinfo=UTC)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(-12, 14))  # noqa: DTZ001 - typed without
def test_offset_is_believed(moment: datetime, hours: int) -> None:
    """With an offset the time is exactly that one."""
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))

    assert parse_when(aware.isoformat()) == aware


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - typed without an offset
def test_local_times_that_exist_round_trip(moment: datetime) -> None:
    """A local time comes back as the same wall clock, or is refused because the clocks skipped it."""
    try:
        utc = parse_when(moment.isoformat())
    except ValueError:
        assert moment.month in {3, 4}
        return

    assert utc.astimezone(PACIFIC).replace(tzinfo=None) == moment


@pytest.mark.parametrize("text", ["", "yesterday", "2020-13-01", "15:13", "2020-09-01T25:00"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    """The complaint shows how a time is written."""
    with pytest.raises(ValueError, match="2020-09-01T15:13-07:00"):
        parse_when(text)
