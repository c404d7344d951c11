"""Hedging, where it was asked for: the device answers beside a cloud that says nothing for too long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from edge_agent.clock import Clock
from edge_agent.errors import EdgeAgentError
from edge_agent.types import Generation, Hedged, Route, TokenEvent

BURST = 2.0
"""Questions in a row that may be hedged, however many were not before them."""
Stream = AsyncGenerator[TokenEvent | Generation, None]


class HedgeBudget:
    """Which questions may be hedged: never more than `share` (0..1) of those that went to the cloud, since a cloud that
    grew slow would otherwise have the device answer everything twice.
    """

    def __init__(self, after_ms: float, share: float) -> None:
        self.after_ms = after_ms
        self._share = share
        self._credit = 0.0

    def asked(self) -> None:
        """One more question goes to the cloud."""
        self._credit = min(BURST, self._credit + self._share)

    def take(self) -> bool:
        """Whether one of them may be hedged now; it then counts."""
        if self._credit < 1.0 - 1e-9:
            return False
        self._credit -= 1.0
        return True


@dataclass(frozen=True, slots=True)
class Beside:
    """What the device made of a question beside the cloud."""

    generation: Generation
    tokens: tuple[TokenEvent, ...]


class Hedge:
    """One question. `device` is its answer by the device, not begun; whoever is first wins: the cloud by its first
    word, the device by a whole answer, so that nobody is told words of both. Owner: close it.
    """

    def __init__(self, budget: HedgeBudget, device: Stream, clock: Clock) -> None:
        self._budget = budget
        self._device = device
        self._clock = clock
        self._task: asyncio.Task[Beside | None] | None = None
        self._tokens: list[TokenEvent] = []
        self._began_s: float | None = None
        self._worked_ms = 0.0
        self._spoke = False
        budget.asked()

    @property
    def begun(self) -> bool:
        """Whether the device was set to work."""
        return self._began_s is not None

    def spoke(self) -> None:
        """The cloud said its first word: it is the cloud's answer."""
        self._spoke = True
        if self._task is not None:
            self._task.cancel()

    async def beside(self, cloud: Coroutine[Any, Any, Generation]) -> Generation | None:
        """The cloud's answer; None where the device had one before the cloud's first word: `cloud` is cancelled then.
        Raises what `cloud` raises; the device goes on, for `answer`.
        """
        loop = asyncio.get_running_loop()
        asking = loop.create_task(cloud)
        self._task = loop.create_task(self._later())
        try:
            await asyncio.wait({asking, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if self._won() and not asking.done():
                return None
            return await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def answer(self) -> Beside | None:
        """What the device has made, or is about to; None where it did not begin or failed."""
        if self._task is None or not self.begun:
            return None
        return await asyncio.shield(self._task)

    async def cloud_won(self) -> Hedged | None:
        """The answer is the cloud's: stop, and say what was for nothing; None where the device had not begun."""
        await self.close()
        if not self.begun:
            return None
        return Hedged(Route.CLOUD, device_ms=self._worked_ms, tokens=len(self._tokens))

    def device_won(self, bytes_up: int, cost_usd: float) -> Hedged | None:
        """The answer is the device's; these were the cloud's for nothing. None where it began only after the cloud."""
        return Hedged(Route.LOCAL, bytes_up=bytes_up, cost_usd=cost_usd) if self.begun else None

    async def close(self) -> None:
        """The device stops within one token."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._device.aclose()

    def _won(self) -> bool:
        task = self._task
        if self._spoke or task is None or not task.done() or task.cancelled():
            return False
        return task.result() is not None

    async def _later(self) -> Beside | None:
        await self._clock.sleep(self._budget.after_ms / 1000)
        if self._spoke or not self._budget.take():
            return None
        self._began_s = self._clock.monotonic_s()
        try:
            async with aclosing(self._device) as stream:
                async for event in stream:
                    if isinstance(event, Generation):
                        return Beside(event, tuple(self._tokens))
                    self._tokens.append(event)
        except EdgeAgentError:
            return None  # the cloud is still asked, and who falls back on the device hears of it then
        finally:
            self._worked_ms = (self._clock.monotonic_s() - self._began_s) * 1000
        return None
