"""Servers that misbehave as a test asks: a WebSocket in the hands of a script, and a bare TCP connection."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import web

from clouds import ENCODER, HIDDEN, listening
from edge_agent.transport.answers import Done, Usage, tokens_frame
from edge_agent.transport.frames import ENDPOINT, SUBPROTOCOL, Frame, FrameType, decode_frame, encode_frame
from edge_agent.transport.messages import Welcome
from edge_agent.transport.numbering import Numbering
from edge_agent.types import TokenEvent


@contextlib.asynccontextmanager
async def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A TCP server that does whatever `handle` does; its connections end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handle(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Peer:
    """The server's end of one WebSocket, in the hands of a test. `received` and `sent` are bytes of EAP frames."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.request = request
        self.numbering = Numbering()
        self.received = 0
        self.sent = 0
        self.frames: list[Frame] = []

    async def read(self) -> Frame | None:
        message = await self.socket.receive()
        if message.type != aiohttp.WSMsgType.BINARY:
            return None
        self.received += len(message.data)
        frame = decode_frame(message.data)
        self.frames.append(frame)
        return frame

    async def send(self, frame: Frame, stream: int = 1) -> None:
        await self.raw(encode_frame(self.numbering.stamp(frame, stream)))

    async def raw(self, data: bytes) -> None:
        self.sent += len(data)
        await self.socket.send_bytes(data)

    async def welcome(self, welcome: Welcome | None = None, session: int = 7) -> None:
        await self.read()
        self.numbering.session = session
        await self.send((welcome or WELCOME).to_frame(), 0)

    async def question(self) -> Frame:
        """Read a whole turn; its TURN frame."""
        opening: Frame | None = None
        missing = 1
        while missing:
            frame = await self.read()
            assert frame is not None
            if frame.type == FrameType.TURN:
                opening, missing = frame, len(frame.meta["tensors"])
            elif frame.type == FrameType.TENSOR_END:
                missing -= 1
        assert opening is not None
        return opening

    async def answer(self, words: int = 2, stream: int = 1, cost: int = 0) -> None:
        await self.send(tokens_frame(0, [TokenEvent(i, f"w{i} ", 0.5, 0.25) for i in range(words)]), stream)
        await self.send(Usage(9, words, cost).to_frame(), stream)
        await self.send(Done(words, "stop", 0.5, 0.25).to_frame(), stream)


WELCOME = Welcome(1, "scripted", ("int8-zstd",), (ENCODER,), HIDDEN)


@contextlib.asynccontextmanager
async def scripted_cloud(
    script: Callable[[Peer], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """A server whose every WebSocket is served by `script`, and which answers /healthz."""

    async def upgrade(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False)
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            await script(Peer(socket, request))
        return socket

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    app = web.Application()
    app.router.add_get(ENDPOINT, upgrade)
    app.router.add_get("/healthz", health)
    async with listening(app, tls) as url:
        yield url
