"""Writes the decision log beside the answers: a disk that stalls delays no answer and misses lines at the most."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from edge_agent.parts import Journal

MOST_UNWRITTEN = 64
CLOSE_S = 2.0
log = logging.getLogger(__name__)


class Recorder:
    """One line after the other, in order. At most MOST_UNWRITTEN wait for the disk; more are missed. That lines are
    missed, also where a disk is full, is said once, until it works again.
    """

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._lock = asyncio.Lock()
        self._unwritten: set[asyncio.Task[None]] = set()
        self._broken = False

    async def record(self, make: Callable[[], dict[str, Any]], most_s: float) -> None:
        """Write what `make` gives; returns once it is written, or after `most_s`: then it is written later."""
        if self._journal is None:
            return
        if len(self._unwritten) >= MOST_UNWRITTEN:
            self._miss("the disk does not keep up")
            return
        task = asyncio.get_running_loop().create_task(self._write(self._journal, make))
        self._unwritten.add(task)
        task.add_done_callback(self._unwritten.discard)
        await asyncio.wait({task}, timeout=max(0.0, most_s))

    async def close(self) -> None:
        """Wait for the lines that are on their way, CLOSE_S at the most."""
        if self._unwritten:
            await asyncio.wait(set(self._unwritten), timeout=CLOSE_S)

    async def _write(self, journal: Journal, make: Callable[[], dict[str, Any]]) -> None:
        async with self._lock:
            try:
                await asyncio.to_thread(lambda: journal.append(make()))
                self._broken = False
            except OSError as failure:
                self._miss(str(failure))

    def _miss(self, why: str) -> None:
        if not self._broken:
            log.warning("the decision log misses lines: %s", why)
        self._broken = True
