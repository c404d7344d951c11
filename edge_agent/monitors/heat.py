"""How hot the board is, from sysfs."""

from __future__ import annotations

from pathlib import Path

THERMAL = Path("/sys/class/thermal")
NOT_MEASURED = frozenset({"PMIC-Die"})  # a Jetson's zone that always says 100 degrees


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
        celsius = int(zone.read_text(encoding="ascii")) / 1000
        kind = zone.parent / "type"
        if kind.is_file() and kind.read_text(encoding="ascii").strip() in NOT_MEASURED:
            return None
    except (OSError, ValueError):  # an unplugged sensor answers with an error of its own
        return None
    return celsius if -40 <= celsius <= 150 else None
