"""Keeps the heap of a process that runs for weeks small: few arenas, and what is free is given back now and then."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from edge_agent.clock import Clock

M_ARENA_MAX = -8  # of malloc.h
ARENAS = 2
GIVE_BACK_S = 60.0


def few_arenas(arenas: int = ARENAS) -> bool:
    """At most so many heaps from now on; False where the C library has no such setting. Before threads are started.

    glibc makes up to eight a core, each thread fills its own, and none gives back what lies below its last block: with
    the pictures that wander through a watcher's threads that looks like a leak for hours, and costs nothing to forbid.
    """
    library = _library()
    return library is not None and hasattr(library, "mallopt") and bool(library.mallopt(M_ARENA_MAX, arenas))


def give_back() -> bool:
    """Give what is free back to the system; whether there was something. False where the C library cannot."""
    library = _library()
    return library is not None and hasattr(library, "malloc_trim") and bool(library.malloc_trim(0))


@asynccontextmanager
async def small_heap(clock: Clock) -> AsyncIterator[None]:
    """Few arenas from now on, and every GIVE_BACK_S what is free goes back: a model that was opened leaves much."""
    few_arenas()
    giving = asyncio.create_task(_give_back_always(clock))
    try:
        yield
    finally:
        giving.cancel()
        await asyncio.gather(giving, return_exceptions=True)


async def _give_back_always(clock: Clock) -> None:
    while True:
        await clock.sleep(GIVE_BACK_S)
        await asyncio.to_thread(give_back)


@cache
def _library() -> Any:
    try:
        return ctypes.CDLL(None)
    except OSError:
        return None
