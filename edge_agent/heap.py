"""Settings of the C library's heap, numbered as in glibc's malloc.h; a C library without them takes none."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from typing import Any

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
ARENA_MAX = -8


def set_heap(settings: Mapping[int, int]) -> bool:
    """Ask for each of `settings`; whether all were taken. False where the C library has none."""
    library = _library()
    if library is None or not hasattr(library, "mallopt"):
        return False
    took = [bool(library.mallopt(name, value)) for name, value in settings.items()]
    return all(took)


def give_back() -> bool:
    """Give what is free back to the system; whether there was something. False where the C library cannot."""
    library = _library()
    return library is not None and hasattr(library, "malloc_trim") and bool(library.malloc_trim(0))


@cache
def _library() -> Any:
    try:
        return ctypes.CDLL(None)
    except OSError:
        return None
