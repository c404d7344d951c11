"""Keeps a source open for ever: reopens it with a growing, jittered delay, and says how it is."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from edge_agent.clock import Clock
from edge_agent.errors import InputError
from edge_agent.sources.base import Item, Source

FIRST_DELAY_S = 0.5
MOST_DELAY_S = 60.0
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """How a supervised source is: `open`, or waiting to be opened again; how often it was lost, and why last."""

    state: str
    losses: int
    last_error: str | None


class Supervisor:
    """A Source that never ends. The first opening may fail with InputError; later losses are waited out."""

    def __init__(self, make: Callable[[], Source], clock: Clock, rng: random.Random) -> None:
        self._make = make
        self._clock = clock
        self._rng = rng
        self._source = make()
        self._closed = False
        self._health = Health("new", 0, None)

    def describe(self) -> str:
        return self._source.describe()

    @property
    def health(self) -> Health:
        """How it is now."""
        return self._health

    async def open(self) -> None:
        """Open for the first time: what is wrong now is the user's to mend. Raises InputError."""
        await self._source.open()
        self._health = Health("open", 0, None)

    async def close(self) -> None:
        self._closed = True
        await self._source.close()

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Items of whichever source is open; while there is none, nothing comes."""
        delay_s = FIRST_DELAY_S
        while not self._closed:
            try:
                async for item in self._source:
                    delay_s = FIRST_DELAY_S
                    yield item
                self._lost("it ended")
            except InputError as error:
                self._lost(str(error))
            delay_s = await self._reopen(delay_s)

    def _lost(self, words: str) -> None:
        self._health = Health("waiting", self._health.losses + 1, words)
        if not self._closed:
            log.warning("%s: %s; it will be opened again", self.describe(), words)

    async def _reopen(self, delay_s: float) -> float:
        """Try until it opens; the delay for the next loss, which only an item that arrives resets."""
        while not self._closed:
            await self._source.close()
            await self._clock.sleep(delay_s * self._rng.uniform(0.5, 1.0))
            delay_s = min(MOST_DELAY_S, delay_s * 2)
            self._source = self._make()
            try:
                await self._source.open()
            except InputError as error:
                self._health = Health("waiting", self._health.losses, str(error))
                continue
            self._health = Health("open", self._health.losses, self._health.last_error)
            break
        return delay_s
