"""What the day rig measures of the process: memory and its slope, threads, tasks, file descriptors, children."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil

MIB = 1 << 20
EVERY_S = 1.0


@dataclass
class Gauges:
    """One row of samples a call of `take`."""

    times_s: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    counts: dict[str, list[int]] = field(
        default_factory=lambda: {"threads": [], "tasks": [], "files": [], "children": []}
    )

    def take(self, now_s: float) -> None:
        """Measure now."""
        process = psutil.Process()
        self.times_s.append(now_s)
        self.rss_mib.append(process.memory_info().rss / MIB)
        self.counts["threads"].append(threading.active_count())
        self.counts["tasks"].append(len(asyncio.all_tasks()))
        self.counts["files"].append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
        self.counts["children"].append(len(process.children()))

    def figures(self) -> dict[str, Any]:
        """Slopes over the second half, after what is loaded once has been loaded, each with its standard error."""
        half = len(self.times_s) // 2
        hours = np.array(self.times_s[half:]) / 3600
        slope, error = _slope(hours, np.array(self.rss_mib[half:]))
        gaps = np.diff(self.times_s) if len(self.times_s) > 1 else np.zeros(1)
        found: dict[str, Any] = {
            "longest_stall_s": round(float(gaps.max()) - EVERY_S, 2),  # of the event loop, or of the whole process
            "rss_mib": {"first": round(self.rss_mib[0], 1), "half": round(self.rss_mib[half], 1)}
            | {"last": round(self.rss_mib[-1], 1), "most": round(max(self.rss_mib), 1)},
            "rss_mib_per_hour": round(slope, 2),
            "rss_mib_per_hour_error": round(error, 2),
        }
        for name, values in self.counts.items():
            found[name] = {"least": min(values), "most": max(values), "first": values[0], "last": values[-1]}
            found[name]["per_hour"] = round(_slope(hours, np.array(values[half:], float))[0], 2)
        return found


def _slope(x: Any, y: Any) -> tuple[float, float]:
    """Least squares: the slope and its standard error."""
    if len(x) < 3 or np.ptp(x) == 0:
        return 0.0, float("inf")
    centred = x - x.mean()
    slope = float((centred * y).sum() / (centred**2).sum())
    rest = y - y.mean() - slope * centred
    return slope, float(np.sqrt((rest**2).sum() / (len(x) - 2) / (centred**2).sum()))
