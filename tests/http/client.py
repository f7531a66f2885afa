"""What the tests ask for, how patiently, and what the station was asked."""

from __future__ import annotations

from shared.demo.station import Station
from shared.http import HttpLimits

KEY = "rpi_a/latest.txt"


LIMITS = HttpLimits(connect_timeout_s=30.0, read_timeout_s=30.0, attempts=3, max_pause_s=0.01, total_timeout_s=120.0)


def statuses(station: Station) -> list[int]:
    """The status of every answer so far; 0 is a request that was left without one."""
    return [request.status for request in station.requests]
