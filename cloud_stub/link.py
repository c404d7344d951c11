"""The ways by which frames come and go: one WebSocket, or one POST whose answer is a stream of events."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Protocol

from aiohttp import WSMsgType, web

from edge_agent.transport.frames import FrameError

SEND_S = 30.0


class Link(Protocol):
    """One connection of a client."""

    resumable: bool

    async def receive(self) -> bytes | None:
        """The next frame; None once the connection is closed. Raises FrameError for what is no frame at all."""
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

    async def receive(self) -> bytes | None:
        message = await self._socket.receive()
        if message.type == WSMsgType.BINARY:
            return bytes(message.data)
        if message.type == WSMsgType.TEXT:
            raise FrameError("text messages are not part of EAP/1", close_code=1003)
        return None

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(self._socket.send_bytes(data), SEND_S)

    async def close(self, code: int, message: bytes = b"") -> None:
        await self._socket.close(code=code, message=message)


class EventLink:
    """A POST: the frames of its body, then nothing until the answer has ended; frames go out as events in base64."""

    resumable = False

    def __init__(self, frames: Sequence[bytes], response: web.StreamResponse) -> None:
        self._frames = list(reversed(frames))
        self._response = response
        self._closed = asyncio.Event()

    async def receive(self) -> bytes | None:
        if self._frames:
            return self._frames.pop()
        await self._closed.wait()
        return None

    async def send(self, data: bytes) -> None:
        await asyncio.wait_for(self._response.write(b"data: " + base64.b64encode(data) + b"\n\n"), SEND_S)

    async def close(self, code: int, message: bytes = b"") -> None:
        self._closed.set()
