"""How busy the board is and how much memory is left, by psutil."""

from __future__ import annotations

import psutil


def load_share() -> float | None:
    """Processor load of the last minute over the number of cores, 0 and up; None where it cannot be read."""
    try:
        return float(psutil.getloadavg()[0] / (psutil.cpu_count() or 1))
    except (OSError, psutil.Error):
        return None


def memory_available_mb() -> float | None:
    """Megabytes that can be had without swapping; None where it cannot be read."""
    try:
        return float(psutil.virtual_memory().available / 1e6)
    except (OSError, psutil.Error):
        return None
