"""A source of given items: the fake behind the seam, for tests and for replaying what was kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from edge_agent.errors import InputError
from edge_agent.sources.base import Item


class ReplaySource:
    """Gives its items once, then ends, or fails with `error`; `refuse` makes opening fail."""

    def __init__(
        self, items: Sequence[Item], error: InputError | None = None, refuse: InputError | None = None
    ) -> None:
        self._items = items
        self._error = error
        self._refuse = refuse
        self.closed = False

    def describe(self) -> str:
        return "replay"

    async def open(self) -> None:
        if self._refuse is not None:
            raise self._refuse

    async def close(self) -> None:
        self.closed = True

    async def __aiter__(self) -> AsyncIterator[Item]:
        for item in self._items:
            yield item
        if self._error is not None:
            raise self._error
