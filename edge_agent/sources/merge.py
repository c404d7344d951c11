"""Several sources as one stream: a camera and a microphone side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from edge_agent.sources.base import Item, Source


async def merge(sources: Sequence[Source]) -> AsyncIterator[Item]:
    """Items of all sources as they come, until all have ended; the first error of any ends it.

    A slow taker holds the sources back: nothing is hoarded here, and their own queues drop what is too old.
    """
    queue: asyncio.Queue[Item | Exception | None] = asyncio.Queue(maxsize=1)

    async def pump(source: Source) -> None:
        try:
            async for item in source:
                await queue.put(item)
            await queue.put(None)
        except Exception as error:  # noqa: BLE001 - carried to the taker, which raises it
            await queue.put(error)

    pumps = [asyncio.create_task(pump(source)) for source in sources]
    try:
        running = len(pumps)
        while running:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
