"""The station a command looks into: one that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.bootstrap import open_house
from shared.errors import StorageError
from shared.house import House
from shared.settings import Settings


@contextmanager
def existing_station(settings: Settings) -> Iterator[House]:
    """The house of a station that somebody began before, without its hydrophones. Raises StorageError."""
    if settings.storage == "local" and not (settings.data / "haro.sqlite").is_file():
        raise StorageError(
            f"there is no station in {settings.data}; check --data or HARO_DATA, or begin one with `haro run`"
        )
    with open_house(settings, hydrophones=[]) as house:
        yield house
