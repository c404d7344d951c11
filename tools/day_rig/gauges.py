"""What the day rig measures of the process: memory and its slope, threads, tasks, file descriptors, children."""

from __future__ import annotations

import asyncio
import ctypes
import os
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

MIB = 1 << 20
EVERY_S = 1.0
BLOCK_S = 15.0


@dataclass
class Gauges:
    """One row of samples a call of `take`."""

    times_s: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    heap_mib: list[float] = field(default_factory=list)
    counts: dict[str, list[int]] = field(
        default_factory=lambda: {"threads": [], "tasks": [], "files": [], "children": []}
    )

    def take(self, now_s: float) -> None:
        """Measure now."""
        process = psutil.Process()
        self.times_s.append(now_s)
        self.rss_mib.append(process.memory_info().rss / MIB)
        self.heap_mib.append(heap_in_use_mib())
        self.counts["threads"].append(threading.active_count())
        self.counts["tasks"].append(len(asyncio.all_tasks()))
        self.counts["files"].append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        self.counts["children"].append(len(process.children()))

    def figures(self) -> dict[str, Any]:
        """Slopes over the second half, after what is loaded once has been loaded, each with its 95 % interval."""
        half = len(self.times_s) // 2
        gaps = np.diff(self.times_s) if len(self.times_s) > 1 else np.zeros(1)
        found: dict[str, Any] = {
            "longest_stall_s": round(max(0.0, float(gaps.max()) - EVERY_S), 2),  # of the event loop, or of everything
            "rss_mib": {"first": round(self.rss_mib[0], 1), "half": round(self.rss_mib[half], 1)}
            | {"last": round(self.rss_mib[-1], 1), "most": round(max(self.rss_mib), 1)},
            "rss_mib_per_hour": self._per_hour(self.rss_mib),
            "heap_in_use_mib": {"half": round(self.heap_mib[half], 1), "last": round(self.heap_mib[-1], 1)},
            "heap_in_use_mib_per_hour": self._per_hour(self.heap_mib),
        }
        for name, values in self.counts.items():
            quarters = [float(np.median(part)) for part in np.array_split(np.array(values, float), 4)]
            found[name] = {"least": min(values), "most": max(values), "first": values[0], "last": values[-1]}
            found[name]["median_of_quarters"] = quarters
        return found

    def _per_hour(self, values: list[float]) -> dict[str, float]:
        half = len(self.times_s) // 2
        times, medians = block_medians(np.array(self.times_s[half:]), np.array(values[half:], float))
        slope, low, high = theil_sen(times / 3600, medians)
        return {"slope": round(slope, 2), "low": round(low, 2), "high": round(high, 2)}


def block_medians(times_s: Any, values: Any) -> tuple[Any, Any]:
    """The median time and value of each BLOCK_S: neighbours within a block say the same, and would feign certainty."""
    blocks = ((times_s - times_s[0]) // BLOCK_S).astype(int)
    kinds = np.unique(blocks)
    middle = [(np.median(times_s[blocks == kind]), np.median(values[blocks == kind])) for kind in kinds]
    return np.array([at for at, _ in middle]), np.array([value for _, value in middle])


def theil_sen(x: Any, y: Any) -> tuple[float, float, float]:
    """The median of all pairs' slopes and its 95 % interval from Kendall's variance (Sen, 1968)."""
    n = len(x)
    if n < 4:
        return 0.0, -float("inf"), float("inf")
    later, earlier = np.tril_indices(n, -1)
    slopes = np.sort((y[later] - y[earlier]) / (x[later] - x[earlier]))
    spread = 1.96 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low = max(0, int(np.floor((len(slopes) - spread) / 2)))
    high = min(len(slopes) - 1, int(np.ceil((len(slopes) + spread) / 2)))
    return float(np.median(slopes)), float(slopes[low]), float(slopes[high])


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keep",
        )
    ]


def heap_in_use_mib() -> float:
    """What the C library has handed out and not got back; 0 where it does not say."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return 0.0
    library.mallinfo2.restype = _Mallinfo
    told = library.mallinfo2()
    return float(told.uordblks + told.hblkhd) / MIB
