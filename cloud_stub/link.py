"""The ways by which frames come and go: one WebSocket, or one POST whose answer is a stream of events."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Protocol

from aiohttp import StreamReader, WSMsgType, web

from edge_agent.clock import within
from edge_agent.transport.frames import HEADER_BYTES, FrameError, FrameType, decode_frame, frame_bytes

SEND_S = 30.0
READ_S = 30.0
BODY_BYTES = 8 << 20
"""A POST holds no more: one turn within its limits, in chunks of a sensible size, is half of it."""
LEFT_BYTES = 1 << 20
LEFT_S = 1.0
"""So much of a body that was refused is still read, for so long: who is cut off while sending may not see why."""
_TYPE_AT = 4  # in a frame's header


def takes_none(_: bytes) -> bool:
    """Of Link.receive: every frame is the caller's."""
    return False


class Link(Protocol):
    """One connection of a client."""

    resumable: bool

    async def receive(self, takes: Callable[[bytes], bool] = ...) -> bytes | None:
        """The next frame that `takes` does not take; None once the connection is closed. Raises FrameError for what is
        no frame at all.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Send a frame. Raises ConnectionError or asyncio.TimeoutError if the client is gone or stuck."""
        ...

    async def close(self, code: int, message: bytes = b"") -> None:
        """End it. May be called twice."""
        ...


class WebSocketLink:
    """A WebSocket: one binary message is one frame."""

    resumable = True

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def receive(self, takes: Callable[[bytes], bool] = takes_none) -> bytes | None:
        receive, binary = self._socket.receive, WSMsgType.BINARY
        while (message := await receive()).type is binary:
            data: bytes = message.data
            if not takes(data):
                return data
        if message.type is WSMsgType.TEXT:
            raise FrameError("text messages are not part of EAP/1", close_code=1003)
        return None

    async def send(self, data: bytes) -> None:
        await within(self._socket.send_bytes(data), SEND_S)

    async def close(self, code: int, message: bytes = b"") -> None:
        await self._socket.close(code=code, message=message)


class EventLink:
    """A POST: the frames of its body one behind the other, then nothing until the answer has ended. Frames go down as
    events in base64, from the end of the body on: what stands between may not read and write at once.
    """

    resumable = False

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._waiting: list[bytes] = []
        self._body_ended = False
        self._asked = False
        self._left = BODY_BYTES
        self._closed = asyncio.Event()
        self.response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})

    async def receive(self, takes: Callable[[bytes], bool] = takes_none) -> bytes | None:
        if not self._body_ended:
            while (data := await within(self._frame(), READ_S)) is not None and takes(data):
                pass
            if data is not None:
                self._asked = self._asked or data[_TYPE_AT] == FrameType.TURN
                return data
            self._body_ended = True
            await self._flush()
        if not self._asked:
            return None
        await self._closed.wait()
        return None

    async def send(self, data: bytes) -> None:
        kind = decode_frame(data).type
        self._waiting.append(b"data: " + base64.b64encode(data) + b"\n\n")
        if self._body_ended or kind == FrameType.ERROR:
            await self._flush()
        if kind in (FrameType.DONE, FrameType.ERROR):
            self._closed.set()

    async def close(self, code: int, message: bytes = b"") -> None:
        self._closed.set()

    async def leave(self) -> None:
        """Send the end of the answer, and read no long body to its end."""
        await end_behind(self._request, self.response)

    async def ping(self, every_s: float) -> None:
        """Keep what stands between from giving up, until cancelled; notice when the client is gone."""
        while True:
            await asyncio.sleep(every_s)
            if self.response.prepared:
                try:
                    await within(self.response.write(b": ping\n\n"), SEND_S)
                except (ConnectionError, asyncio.TimeoutError):
                    return self._closed.set()

    async def _flush(self) -> None:
        if self._waiting and not self.response.prepared:
            await self.response.prepare(self._request)
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            await within(self.response.write(event), SEND_S)

    async def _frame(self) -> bytes | None:
        """The next frame of the body; None at its end. Raises FrameError where it ends within one."""
        content = self._request.content
        try:
            head = await content.readexactly(HEADER_BYTES)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise FrameError("the body ends within a frame") from error
            return None
        try:
            size = frame_bytes(head)
            self._left -= size
            if self._left < 0:
                raise FrameError(f"a body of more than {BODY_BYTES} bytes", code="too_large", close_code=1009)
            return head + await content.readexactly(size - HEADER_BYTES)
        except asyncio.IncompleteReadError as error:
            raise FrameError("the body ends within a frame") from error


async def end_behind(request: web.Request, response: web.StreamResponse) -> None:
    """Send the end of a `response` that was begun. Of a body that goes on little is read any more, then the connection
    is closed.
    """
    content = request.content
    if content.at_eof():
        return
    try:
        if response.prepared:
            await within(response.write_eof(), SEND_S)
        await within(_skip(content), LEFT_S)
    except (ConnectionError, asyncio.TimeoutError):
        pass  # gone, stuck, or still sending: closed in any case
    if not content.at_eof():
        request.protocol.force_close()


async def _skip(content: StreamReader) -> None:
    left = LEFT_BYTES
    while left > 0 and (block := await content.readany()):
        left -= len(block)
