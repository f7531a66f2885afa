"""Schedules of timer triggers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.ncrontab import FIELDS, Field, parse


@st.composite
def items(draw: st.DrawFn, field: Field) -> tuple[str, set[int]]:
    """One way to write values of a field, and the values."""
    first = draw(st.integers(field.first, field.last))
    last = draw(st.integers(first, field.last))
    step = draw(st.integers(1, 70))

    def written(value: int) -> str:
        names = [str(value), f"0{value}"]
        if field.names:
            name = field.names[value - field.first]
            names += [name, name.capitalize(), name.upper()]
        return draw(st.sampled_from(names))

    return draw(
        st.sampled_from(
            [
                ("*", set(range(field.first, field.last + 1))),
                (f"*/{step}", set(range(field.first, field.last + 1, step))),
                (written(first), {first}),
                (f"{written(first)}/{step}", set(range(first, field.last + 1, step))),
                (f"{written(first)}-{written(last)}", set(range(first, last + 1))),
                (f"{written(first)}-{written(last)}/{step}", set(range(first, last + 1, step))),
            ]
        )
    )


@given(st.data())
def test_a_field_stands_for_the_values_it_says(data: st.DataObject) -> None:
    """Stars, values, names, ranges, steps and lists of them mean what the documentation says."""
    field = data.draw(st.sampled_from(FIELDS))
    parts = data.draw(st.lists(items(field), min_size=1, max_size=4))

    assert field.parse(",".join(text for text, _ in parts)) == set().union(*(values for _, values in parts))


@given(st.text(alphabet="0123456789*/-, LW#?afjmnoprsuty", max_size=24) | st.text(max_size=24))
def test_any_text_is_a_schedule_or_a_clear_error(text: str) -> None:
    """Whatever is written, either six fields with values in range come out, or an error that quotes it."""
    try:
        values = parse(text)
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017 - a schedule is just as good
    else:
        assert len(values) == 6
        assert all(
            found and min(found) >= field.first and max(found) <= field.last
            for field, found in zip(FIELDS, values, strict=True)
        )


def test_a_schedule_of_every_20_seconds() -> None:
    """Seconds come first."""
    second, minute, *_ = parse("*/20 * * * * *")

    assert second == {0, 20, 40}
    assert len(minute) == 60


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("*/5 * * * *", "has 5 fields, not 6"),
        ("0 0 0 * * * 2026", "has 7 fields, not 6"),
        ("", "has 0 fields, not 6"),
        ("60 * * * * *", "'60' is no second: these are 0 to 59"),
        ("0 0 24 * * *", "'24' is no hour"),
        ("0 0 0 0 * *", "'0' is no day"),
        ("0 0 0 * 13 *", "'13' is no month"),
        ("0 0 0 * * 7", "'7' is no day of week"),
        ("0 0 0 * * montag", "'montag' is no day of week"),
        ("0 0 0 * ma *", "'ma' is no month"),
        ("0 mon * * * *", "'mon' is no minute"),
        ("*/0 * * * * *", "a step is at least 1"),
        ("0 50-10 * * * *", "the range runs backward"),
        ("0 1,,2 * * * *", "'' is no minute"),
        ("0 0 0 L * *", "'l' is no day"),
        ("0 0 0 ? * *", "'?' is no day"),
        ("0 0 0 30 2 *", "never comes: no such month has 30 days"),
        ("00:00:20", "has 1 fields"),
        ("0 0 0 * * ٣", "'٣' is no day of week"),
    ],
)
def test_what_is_no_schedule_is_said(expression: str, why: str) -> None:
    """Each mistake is named, with the part that is wrong."""
    with pytest.raises(ValueError, match=r"^schedule ") as raised:
        parse(expression)

    assert why in str(raised.value)
