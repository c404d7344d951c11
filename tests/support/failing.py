"""What a cloud that fails is held to: one typed error, in bounded time, with nothing of its connection left."""

from __future__ import annotations

import asyncio
import time

import pytest

from clouds import asked, request
from edge_agent.errors import CloudError
from edge_agent.transport.client import CloudClient
from edge_agent.transport.dialing import CLOSE_S
from edge_agent.types import TokenEvent

DEADLINE_MS = 1500
LATE_S = 0.25
"""How much later than asked something may be on a busy machine: less than a farewell to a silent cloud would take."""


def failure(serving, *, deadline_ms: int = DEADLINE_MS, token: str | None = None, turn=None) -> CloudError:
    """The error of one turn against `serving` (a context manager of a URL). Here are checked: the time it took, the
    time that closing takes, and that nothing is left behind.
    """

    async def main():
        async with serving as url:
            client, started_s = CloudClient(url, token), time.monotonic()
            with pytest.raises(CloudError) as caught:
                await asked(client, turn or request(deadline_ms=deadline_ms))
            failed_s = time.monotonic()
            assert failed_s - started_s < deadline_ms / 1000 + LATE_S
            assert client._idle is None
            await client.close()
            assert time.monotonic() - failed_s < CLOSE_S + LATE_S
            assert tasks_of_connections() == []
            return caught.value

    return asyncio.run(main())


def tasks_of_connections() -> list[str]:
    names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]
    return [name for name in names if name.startswith("Connection")]


def token_events(count: int, first: int = 0) -> list[TokenEvent]:
    return [TokenEvent(first + i, f"w{i} ", 0.5, 0.25) for i in range(count)]
