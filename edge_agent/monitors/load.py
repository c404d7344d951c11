"""How busy the board is and how much memory is left, by psutil and the service's own limit."""

from __future__ import annotations

from pathlib import Path

import psutil


def load_share() -> float | None:
    """Processor load of the last minute over the number of cores, 0 and up; None where it cannot be read."""
    try:
        return float(psutil.getloadavg()[0] / (psutil.cpu_count() or 1))
    except (OSError, RuntimeError, psutil.Error):
        return None


def memory_available_mb(root: Path = Path("/")) -> float | None:
    """Megabytes that can be had without swapping: what the machine can give, and not more than what the service's own
    limit (MemoryMax=, a cgroup under `root`) leaves; None where neither can be read.
    """
    known = [mb for mb in (_machine_mb(), _cgroup_mb(root)) if mb is not None]
    return min(known, default=None)


def _machine_mb() -> float | None:
    try:
        return float(psutil.virtual_memory().available / 1e6)
    except (OSError, RuntimeError, psutil.Error):
        return None


def _cgroup_mb(root: Path) -> float | None:
    """What the innermost limit on the way to this process leaves; file caches can be taken back and do not count."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="ascii").splitlines()
        own = next(line.removeprefix("0::/") for line in lines if line.startswith("0::/"))
    except (OSError, ValueError, StopIteration):
        return None
    top, left = root / "sys/fs/cgroup", list[float]()
    for folder in [top / own, *(top / own).parents]:
        if folder == top or top not in folder.parents:
            break
        try:
            most = int((folder / "memory.max").read_text(encoding="ascii"))
            used = int((folder / "memory.current").read_text(encoding="ascii"))
            stat = (folder / "memory.stat").read_text(encoding="ascii").split()
            cache = int(stat[stat.index("inactive_file") + 1])
        except (OSError, ValueError, IndexError):  # no limit says "max"
            continue
        left.append(max(0.0, (most - used + cache) / 1e6))
    return min(left, default=None)
