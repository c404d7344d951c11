"""The turns of one session: their uploads as they come, the frames that went out for each, and what a resume needs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from edge_agent.transport.assembly import TensorAssembly
from edge_agent.transport.drafts import Draft
from edge_agent.transport.messages import TurnOpening

ENDED_KEPT = 8


@dataclass(slots=True)
class OpenTurn:
    """A turn that runs: its tensors as they come, and the task that answers it. `over`: its last frame is out. `ready`
    is set once everything is there that the answer depends on.
    """

    opening: TurnOpening
    assembly: TensorAssembly
    waits_for_draft: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    draft: Draft | None = None
    task: asyncio.Task[None] | None = None
    over: bool = False

    def check(self) -> None:
        """Set `ready` if it is."""
        if self.assembly.complete and not self.waits_for_draft:
            self.ready.set()


class Sent:
    """Frames that went out, by stream, for a client that lost some of them: of open turns and the last that ended."""

    def __init__(self) -> None:
        self._frames: dict[int, list[bytes]] = {}
        self._ended: OrderedDict[int, int] = OrderedDict()

    def add(self, stream: int, data: bytes) -> None:
        self._frames.setdefault(stream, []).append(data)

    def end(self, stream: int, received: int) -> None:
        """The stream is over, after `received` frames of the client."""
        self._ended[stream] = received
        while len(self._ended) > ENDED_KEPT:
            oldest, _ = self._ended.popitem(last=False)
            self._frames.pop(oldest, None)

    def received(self, stream: int) -> int | None:
        """How many frames the client had sent on a stream that ended; None if it did not, or long ago."""
        return self._ended.get(stream)

    def missing(self, stream: int, seen: int) -> list[bytes]:
        """What of the stream a client that has `seen` frames has not."""
        return self._frames.get(stream, [])[seen:]

    def count(self, stream: int) -> int:
        return len(self._frames.get(stream, ()))
