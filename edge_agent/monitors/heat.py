"""How hot the board is, from sysfs."""

from __future__ import annotations

from pathlib import Path

THERMAL = Path("/sys/class/thermal")


def hottest_celsius(root: Path = THERMAL) -> float | None:
    """The hottest plausible thermal zone (-40..150 degrees), or None where none can be read."""
    try:
        zones = sorted(root.glob("thermal_zone*/temp"))
    except OSError:
        return None
    readings = [celsius for zone in zones if (celsius := _read(zone)) is not None]
    return max(readings, default=None)


def _read(zone: Path) -> float | None:
    try:
        celsius = int(zone.read_text()) / 1000
    except (OSError, ValueError):
        return None
    return celsius if -40 <= celsius <= 150 else None
