"""What goes down to one client: frames numbered, kept for a resume, sent over the connection that there is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from cloud_stub.link import Link
from cloud_stub.streams import Sent
from edge_agent.transport.frames import Frame, encode_frame
from edge_agent.transport.numbering import Numbering
from edge_agent.transport.resume import Resume, Resumed

log = logging.getLogger("cloud_stub")


class Outgoing:
    """The way down of one session, over one connection after another. `numbering` counts both directions. Of a session
    that is `resumable` no frame of a turn is lost while no connection is there.
    """

    def __init__(self, number: int, resumable: bool) -> None:
        self.numbering = Numbering(number)
        self.resumable = resumable
        self.link: Link | None = None
        self._sent = Sent()
        self._sending = asyncio.Lock()

    async def begin(self, link: Link, welcome: Frame) -> None:
        """The first connection: HELLO was read, `welcome` answers it."""
        self.numbering.skip(0, seen=1)
        self.link = link
        await self.send(welcome, 0)

    async def resume(
        self, link: Link, resume: Resume, received: Callable[[int], int | None], credit: Callable[[], int | None]
    ) -> None:
        """Another connection takes over: what the client has not seen is sent again, then what comes. `received` says
        how many of its frames came on a stream, None for one that is not known.
        """
        async with self._sending:
            old, self.link = self.link, None
            if old is not None:
                await old.close(1001, b"resumed elsewhere")
            self.numbering.forget(0)
            self.numbering.skip(0, seen=1)
            known = {stream: count for stream, _ in resume.streams if (count := received(stream)) is not None}
            answer = Resumed(tuple(known.items()), credit()).to_frame()
            await link.send(encode_frame(self.numbering.stamp(answer, 0)))
            for stream, seen in resume.streams:
                for data in self._sent.missing(stream, seen):
                    await link.send(data)
            self.link = link

    async def send(self, frame: Frame, stream: int) -> None:
        """Raises ConnectionError or asyncio.TimeoutError where the frame is lost."""
        async with self._sending:
            data = encode_frame(self.numbering.stamp(frame, stream))
            if self.resumable and stream:
                self._sent.add(stream, data)
            if self.link is None:
                return
            try:
                await self.link.send(data)
            except (ConnectionError, asyncio.TimeoutError):
                if not (self.resumable and stream):
                    raise

    async def try_send(self, frame: Frame, stream: int) -> None:
        """The same for what nobody misses who is gone."""
        try:
            await self.send(frame, stream)
        except (ConnectionError, asyncio.TimeoutError):
            log.info("a client went away")

    def end(self, stream: int) -> None:
        """A turn is over and its last frame went out: its frames are numbered to the end."""
        if self.resumable:
            self._sent.end(stream, self.numbering.seen(stream))
        self.numbering.forget(stream)

    def received(self, stream: int) -> int | None:
        """How many frames the client had sent on a stream that ended; None if it did not, or long ago."""
        return self._sent.received(stream)
