"""One turn as the cloud keeps it: its tokens as they come, its verdict, its end, and who still waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence

from edge_agent.errors import CloudError
from edge_agent.transport.answers import Done, Usage
from edge_agent.transport.drafts import Verdict
from edge_agent.transport.messages import TurnOpening
from edge_agent.types import TokenEvent


class TurnRecord:
    """One turn, computed once, followed by any number of sessions. Lives on the event loop's thread."""

    def __init__(self, opening: TurnOpening) -> None:
        self.opening = opening
        self.verdict: Verdict | None = None
        self.events: list[TokenEvent] = []
        self.ending: tuple[Usage, Done] | None = None
        self.error: CloudError | None = None
        self.ended_s = 0.0
        self.followers = 0
        self.cancelled = threading.Event()
        self._changed = asyncio.Event()

    def add(self, events: Sequence[TokenEvent]) -> None:
        self.events += events
        self.notify()

    def judge(self, verdict: Verdict) -> None:
        """Known before the first of the tokens."""
        self.verdict = verdict

    def notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> AsyncGenerator[list[TokenEvent], None]:
        """Tokens in batches, from the first on, until the end. The last follower to leave early cancels the turn."""
        self.followers += 1
        sent = 0
        try:
            while True:
                changed = self._changed
                if sent < len(self.events):
                    batch, sent = self.events[sent:], len(self.events)
                    yield batch
                elif self.ending is not None or self.error is not None:
                    return
                else:
                    await changed.wait()
        finally:
            self.followers -= 1
            if self.followers == 0:
                self.cancelled.set()
