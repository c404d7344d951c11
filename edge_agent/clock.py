"""Injected time: monotonic seconds for durations, wall seconds for records, and sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Monotonic(Protocol):
    """The part of a clock that durations are measured with."""

    def monotonic_s(self) -> float:
        """Seconds that never run backwards; only differences mean something."""
        ...


class Clock(Monotonic, Protocol):
    """Where the agent gets its time from, so that a test can own it."""

    def wall_s(self) -> float:
        """Seconds since 1970-01-01 UTC, for records; may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        ...


class SystemClock:
    """The clock of the machine."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def wall_s(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ManualClock:
    """A clock that a test moves; sleeping moves it too and yields once to the event loop."""

    def __init__(self, monotonic_s: float = 0.0, wall_s: float = 1_700_000_000.0) -> None:
        self._monotonic_s = monotonic_s
        self._wall_s = wall_s

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def wall_s(self) -> float:
        return self._wall_s

    def advance(self, seconds: float) -> None:
        """Move both times forward by `seconds` (>= 0)."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._monotonic_s += seconds
        self._wall_s += seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(max(0.0, seconds))
        await asyncio.sleep(0)


async def within(work: Awaitable[T], seconds: float) -> T:
    """What `work` gives. Raises asyncio.TimeoutError after `seconds`, once `work` has been cancelled.

    asyncio.wait_for loses a cancellation that comes as `work` ends (before Python 3.12): a loop around it, such as that
    over a camera's frames, would then go on for ever, and so would whoever waits for its end.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=max(0.0, seconds))
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if not task.cancelled() and task.exception() is None:
        return task.result()  # it came to an end while it was being cancelled
    raise asyncio.TimeoutError
