"""The draft of one cloud question: made by the device while its upload runs, or there already, and sent if it pays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from edge_agent.clock import Monotonic
from edge_agent.engines.base import Query
from edge_agent.engines.draft_length import DraftLength
from edge_agent.transport import features
from edge_agent.transport.drafts import Draft, Drafted
from edge_agent.transport.messages import Welcome
from edge_agent.types import TokenEvent

MODES = ("auto", "on", "off")


class Drafter(Protocol):
    """What the device drafts with: edge_agent.engines.local.LocalEngine."""

    @property
    def tokenizer_id(self) -> str: ...

    def draft(self, query: Query) -> AsyncGenerator[TokenEvent, None]: ...


class QueryDrafting:
    """Makes the draft of `query`, see transport.drafts.Drafting. `query.draft`, where there is one, is taken instead.

    `mode` auto: as long a draft as `length` says; on: as long as the answer may be, and waited for.
    """

    def __init__(self, drafter: Drafter, query: Query, length: DraftLength, mode: str, clock: Monotonic) -> None:
        self._drafter = drafter
        self._query = query
        self._length = length
        self._waits = mode == "on"
        self._clock = clock
        self._ids: list[int] = []
        self._most_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    def begin(self, welcome: Welcome, bytes_up: int) -> bool:
        """Decide how long the draft shall be, and begin it. The device has nothing else to do by then: what it computes
        before the tensors are handed to the link delays them.
        """
        if features.DRAFT not in welcome.features or welcome.tokenizer_id != self._drafter.tokenizer_id:
            return False
        made, most = self._query.draft, self._query.max_new_tokens
        count = most if self._waits else self._length.count(bytes_up, most, None if made is None else len(made))
        if made is not None:
            self._ids = list(made[:count])
        elif count:
            self._most_ms = self._length.patience_ms(count, bytes_up)
            self._task = asyncio.get_running_loop().create_task(self._make(count))
        return bool(count)

    async def draft(self) -> Drafted:
        """What is there once it is complete or waiting no longer pays. An error of the device ends the draft."""
        started_s = self._clock.monotonic_s()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=None if self._waits else self._most_ms / 1000)
            await self.close()
        held_ms = (self._clock.monotonic_s() - started_s) * 1000
        ids = tuple(self._ids)
        return Drafted(Draft(self._drafter.tokenizer_id, ids) if ids else None, held_ms)

    async def close(self) -> None:
        """Stop drafting."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _make(self, count: int) -> None:
        began_s = self._clock.monotonic_s()
        times_ms: list[float] = []
        try:
            async with aclosing(self._drafter.draft(self._query)) as tokens:
                async for token in tokens:
                    self._ids.append(token.token_id)
                    times_ms.append((self._clock.monotonic_s() - began_s) * 1000)
                    if len(times_ms) == count:
                        break
        finally:  # also where waiting for more no longer paid: the next question must know how long it takes at least
            first_ms = times_ms[0] if times_ms else (self._clock.monotonic_s() - began_s) * 1000
            steps = len(times_ms) - 1
            self._length.device_took(first_ms, (times_ms[-1] - times_ms[0]) / steps if steps > 0 else None)
