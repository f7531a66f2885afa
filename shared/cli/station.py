"""The station a command looks into: one that is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.bootstrap import open_house
from shared.errors import StorageError
from shared.house import House
from shared.settings import Settings


@contextmanager
def existing_station(settings: Settings) -> Iterator[House]:
    """The house of a station that somebody began before, without its hydrophones. Raises StorageError."""
    if settings.storage == "local" and not _is_station(settings.data):
        raise StorageError(
            f"there is no station in {settings.data}; check --data or HARO_DATA, or begin one with `haro run`"
        )
    with open_house(settings, hydrophones=[]) as house:
        yield house


def _is_station(folder: Path) -> bool:
    try:
        return (folder / "haro.sqlite").is_file()
    except OSError as error:  # Python before 3.14 says False to some of these only
        raise StorageError(f"the station in {folder} cannot be read: {error}") from error
