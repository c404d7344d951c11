"""Ends what must end by a time: what is not done by then is refused, cancelled, and left to end by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from edge_agent.errors import NoAnswerError

T = TypeVar("T")


class Overdue:
    """Runs work that has a time to end by. A part that cannot be cancelled at once (a disk that stalls, a connection
    that closes slowly) then holds up nobody: who asked has been told, and `settled` waits for what was left behind.
    """

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()

    async def by(self, work: Coroutine[Any, Any, T], left_s: float, doing: Callable[[], str]) -> T:
        """What `work` gives or raises. Raises NoAnswerError after `left_s` seconds, which says what it was `doing`; the
        work is cancelled then.
        """
        task = asyncio.get_running_loop().create_task(work)
        try:
            await asyncio.wait({task}, timeout=max(0.0, left_s))
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        if task.done():
            return task.result()
        task.cancel()
        self._left.add(task)
        task.add_done_callback(self._gone)
        raise NoAnswerError(f"the time ran out while {doing()}", "try a larger --deadline-ms")

    async def settled(self, most_s: float) -> bool:
        """Wait for what was left behind; whether all of it has ended."""
        if self._left:
            await asyncio.wait(set(self._left), timeout=max(0.0, most_s))
        return not self._left

    def _gone(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # nobody waits for it any more
