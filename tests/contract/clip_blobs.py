"""A blob that the suites of blob stores write, and what is listed."""

from __future__ import annotations

from shared.storage.ports import BlobStore

NAME = "clips/rpi_bush_point/2026-03-20/rpi_bush_point_2026-03-20t22-35-59z_5614-5619.flac"


def listed(blobs: BlobStore, prefix: str) -> list[str]:
    """The names with this beginning, in their order."""
    return [info.name for info in blobs.list(prefix)]
