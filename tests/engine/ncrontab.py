"""NCRONTAB: the schedules of timer triggers, six fields with the seconds first.

Everything accepted here means the same to NCrontab, the library in the host (github.com/atifaziz/NCrontab). Refused is
also what it takes in silence and nobody means: five fields, backward ranges, a step of 0, names other than
those of three letters, days that never come.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?:\*|(?P<first>[a-z0-9]+)(?:-(?P<last>[a-z0-9]+))?)(?:/(?P<step>[0-9]{1,4}))?")


@dataclass(frozen=True)
class Field:
    """One field of a schedule: its name, its range, and the names its values may go by."""

    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()

    def parse(self, text: str) -> frozenset[int]:
        """The values that `text` stands for. Raises ValueError."""
        return frozenset(value for item in text.split(",") for value in self._item(item))

    def _item(self, text: str) -> range:
        match = _ITEM.fullmatch(text.lower())
        if match is None:
            raise ValueError(f"{text!r} is no {self.name}: write *, 5, 5-9, 5-9/2, */5, or several with commas")
        step = int(match["step"] or 1)
        if step == 0:
            raise ValueError(f"{text!r} is no {self.name}: a step is at least 1")
        first = self._value(match["first"]) if match["first"] else self.first
        last = self._value(match["last"]) if match["last"] else first
        if not match["first"] or (match["step"] and not match["last"]):
            last = self.last  # 5/10 is 5-59/10
        if last < first:
            raise ValueError(f"{text!r} is no {self.name}: the range runs backward")
        return range(first, last + 1, step)

    def _value(self, text: str) -> int:
        if text in self.names:
            return self.names.index(text) + self.first
        if not (text.isdecimal() and self.first <= int(text) <= self.last):
            raise ValueError(f"{text!r} is no {self.name}: these are {self.first} to {self.last}")
        return int(text)


FIELDS = (
    Field("second", 0, 59),
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day", 1, 31),
    Field("month", 1, 12, _MONTHS),
    Field("day of week", 0, 6, _DAYS),
)


def parse(expression: str) -> tuple[frozenset[int], ...]:
    """The values of each field at which a schedule comes. Raises ValueError that says what is wrong."""
    words = [word for word in expression.split(" ") if word]
    if len(words) != len(FIELDS):
        raise ValueError(f"schedule {expression!r} has {len(words)} fields, not 6: {', '.join(f.name for f in FIELDS)}")
    try:
        values = tuple(field.parse(word) for field, word in zip(FIELDS, words, strict=True))
    except ValueError as error:
        raise ValueError(f"schedule {expression!r}: {error}") from None
    days, months = values[3], values[4]
    if min(days) > max(_LONGEST[month - 1] for month in months):
        raise ValueError(f"schedule {expression!r} never comes: no such month has {min(days)} days")
    return values
