"""Keeps the heap of a process that runs for weeks small: few arenas, and what is free is given back now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_agent.clock import Clock
from edge_agent.heap import ARENA_MAX, give_back, set_heap

ARENAS = 2
GIVE_BACK_S = 60.0


def few_arenas(arenas: int = ARENAS) -> bool:
    """At most so many heaps from now on; False where the C library has no such setting. Before threads are started.

    glibc makes up to eight a core, each thread fills its own, and none gives back what lies below its last block: with
    the pictures that wander through a watcher's threads that looks like a leak for hours, and costs nothing to forbid.
    """
    return set_heap({ARENA_MAX: arenas})


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
