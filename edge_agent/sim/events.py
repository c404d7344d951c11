"""The queue of a discrete-event simulation: what happens next, in order of time, ties in the order they were put in."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from typing import Any

Action = Callable[[], object]
Process = Generator[Any, Any, None]


class Events:
    """Simulated time, in seconds from 0. It never runs backwards, and stands still while an action runs.

    It also is the clock that the agent's own monitors are given.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._queue: list[tuple[float, int, Action]] = []
        self._count = 0

    def monotonic_s(self) -> float:
        return self.now_s

    def at(self, time_s: float, action: Action) -> None:
        """Let `action` happen at a time, at once where that has passed. Raises ValueError for NaN or infinity."""
        if not time_s < float("inf"):
            raise ValueError(f"nothing can happen at {time_s}")
        self._count += 1
        heapq.heappush(self._queue, (max(time_s, self.now_s), self._count, action))

    def run(self) -> None:
        """Until nothing is left to happen."""
        queue, pop = self._queue, heapq.heappop
        while queue:
            self.now_s, _, action = pop(queue)
            action()


class Reply:
    """What a process waits for that has no known time: it yields this, and is resumed with what `give` was given."""

    __slots__ = ("_events", "_given", "_process")

    def __init__(self, events: Events) -> None:
        self._events = events
        self._given = False
        self._process: Process | None = None

    def give(self, value: Any) -> bool:
        """Resume who waits; False where another value came first."""
        if self._given:
            return False
        self._given = True
        process = self._process
        if process is None:
            raise RuntimeError("a reply came before anybody waited for it")
        resume(self._events, process, value)
        return True

    def wait(self, process: Process) -> None:
        self._process = process

    @property
    def given(self) -> bool:
        return self._given


def resume(events: Events, process: Process, value: Any = None) -> None:
    """Let a process run until it waits again: it yields a time in seconds, or a Reply."""
    try:
        waits = process.send(value)
    except StopIteration:
        return
    if isinstance(waits, Reply):
        waits.wait(process)
    else:
        events.at(waits, lambda: resume(events, process))
