"""What was measured on: CPU, instruction set, Python and the compiler of the kernels."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from pathlib import Path
from typing import Any

from edge_agent import features

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
DEFAULT_LAST_CACHE = 32 << 20


@lru_cache(maxsize=1)
def machine() -> dict[str, Any]:
    """The facts that go into each row."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "arch": platform.machine(),
        "cpu_features": list(features.cpu_features()),
        "last_cache_bytes": last_cache_bytes(),
        "python": platform.python_version(),
        "compiler": kernel_compiler(),
    }


def cpu_model() -> str:
    """The name that Linux gives the CPU, else the architecture."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for wanted in ("model name", "Model", "Hardware"):
        for line in lines:
            key, _, value = line.partition(":")
            if key.strip() == wanted and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def last_cache_bytes() -> int:
    """Size of the largest cache that Linux knows of; 32 MiB where it says nothing."""
    return max((_bytes(entry) for entry in CACHES.glob("index*/size")), default=0) or DEFAULT_LAST_CACHE


def _bytes(entry: Path) -> int:
    """`32768K` as a number; 0 for what cannot be read."""
    try:
        text = entry.read_text(encoding="ascii").strip()
        return int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    except (OSError, ValueError):
        return 0


def kernel_compiler() -> str | None:
    """Which compiler built the kernels; None where the build does not say."""
    try:
        from edge_agent import _core
    except ImportError:
        return None
    return _core.compiler
