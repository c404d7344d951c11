"""One WebSocket to a cloud: upgrade, HELLO and WELCOME, frames up and down with deadlines, bytes counted."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from asyncio.trsock import TransportSocket
from collections.abc import Awaitable
from typing import TypeVar

import aiohttp

from edge_agent.clock import within
from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.codecs import CODECS
from edge_agent.transport.dialing import CLOSE_S, MAX_DOWN_FRAME, Socket
from edge_agent.transport.fields import int_of
from edge_agent.transport.frames import (
    SUBPROTOCOL,
    Flag,
    Frame,
    FrameError,
    FrameType,
    decode_frame,
    encode_frame,
    is_known,
)
from edge_agent.transport.messages import MAX_CREDIT, Hello, Welcome, error_of
from edge_agent.transport.numbering import Numbering
from edge_agent.transport.recall import Recall
from edge_agent.transport.resume import Resume, Resumed
from edge_agent.transport.wire import Wire, wire_of

T = TypeVar("T")

_QUEUE_FRAMES = 32


async def bounded(wait: Awaitable[T], deadline_s: float, what: str) -> T:
    """`wait`, no longer than until `deadline_s` of the event loop's time. Raises CloudError `timeout`."""
    left_s = deadline_s - asyncio.get_running_loop().time()
    try:
        return await within(wait, left_s)
    except asyncio.TimeoutError as error:
        raise CloudError(f"the deadline passed while {what}", code="timeout") from error


class Connection:
    """An open session. One turn uses it at a time; a reader task takes frames off the socket into a bounded queue
    (full: the socket waits, so TCP slows the cloud down) and answers pings in between. `named` are the features that
    its HELLO says.
    """

    named: tuple[str, ...] = features.CLIENT
    _numbered = True

    def __init__(self, socket: Socket) -> None:
        self._take(socket)
        self._sent: list[bytes] = []  # of the open turn, where it may be resumed
        self._credit: int | None = None
        self.recall = Recall()
        self._numbering = Numbering()
        self._last_stream = 0
        self._going_away = False
        self.welcome: Welcome | None = None
        self.rtt_ms = 0.0
        self.bytes_up = 0
        self.bytes_down = 0

    def _take(self, socket: Socket) -> None:
        self._socket = socket
        self._wire: TransportSocket | None = socket.get_extra_info("socket")
        self._incoming: asyncio.Queue[bytes | CloudError] = asyncio.Queue(_QUEUE_FRAMES)
        self._reader = asyncio.get_running_loop().create_task(self._read())

    def speaks(self, feature: str) -> bool:
        """Whether both sides know `feature`, see transport.features."""
        return self.welcome is not None and feature in self.welcome.features and feature in self.named

    @property
    def resumable(self) -> bool:
        """Whether the session may go on over another connection."""
        return self.speaks(features.RESUME) and bool(self.welcome and self.welcome.resume_token)

    async def resume(self, socket: Socket, stream: int, deadline_s: float) -> None:
        """Go on over `socket`: what the cloud has not got of `stream` is sent again, then what it has sent meanwhile
        comes. Raises CloudError, `forgotten` where the cloud does not know the session any more.
        """
        await self.close()
        self._take(socket)
        if self._socket.protocol != SUBPROTOCOL or self.welcome is None:
            raise CloudError(f"the server does not speak {SUBPROTOCOL}", code="protocol", retryable=False)
        self._numbering.forget(0)
        seen = ((stream, self._numbering.seen(stream)),)
        await self._write(Resume(self.welcome.resume_token, seen).to_frame(), 0)
        frame = await self._next(deadline_s)
        if frame.type == FrameType.ERROR:
            raise error_of(frame)
        if frame.type != FrameType.RESUMED or frame.stream != 0:
            raise FrameError(f"{frame.name} came where RESUMED was expected")
        self._numbering.accept(frame)
        resumed = Resumed.from_frame(frame)
        received = dict(resumed.streams).get(stream)
        if received is None:
            raise CloudError("the cloud does not know this turn any more", code="forgotten")
        if resumed.credit is not None:
            self._credit = resumed.credit - sum(_chunk_bytes(data) for data in self._sent[received:])
        for data in self._sent[received:]:
            self.bytes_up += len(data)
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):  # the reader says why
                await bounded(self._socket.send_bytes(data), deadline_s, "sending to the cloud")

    @property
    def reusable(self) -> bool:
        """Whether another turn may begin here: open, not leaving, and nothing unexpected waits to be read."""
        return not (self._socket.closed or self._going_away or self._reader.done() or not self._incoming.empty())

    def next_stream(self) -> int:
        self._last_stream += 1
        return self._last_stream

    async def greet(self, device: str, deadline_s: float) -> Welcome:
        """HELLO, then WELCOME. Raises CloudError."""
        if self._socket.protocol != SUBPROTOCOL:
            raise CloudError(f"the server does not speak {SUBPROTOCOL}", code="protocol", retryable=False)
        started_s = asyncio.get_running_loop().time()
        await self.send(self._hello(device), 0, deadline_s)
        await self.flush(deadline_s)
        frame = await self._next(deadline_s)
        self.rtt_ms = (asyncio.get_running_loop().time() - started_s) * 1000
        if frame.type == FrameType.ERROR:
            raise error_of(frame)
        welcome = self.welcome = self._welcomed(frame)
        self._credit = welcome.credit if self.speaks(features.CREDIT) else None
        return welcome

    def _hello(self, device: str) -> Frame:
        return Hello(codecs=tuple(sorted(CODECS)), device=device, features=self.named).to_frame()

    def _welcomed(self, frame: Frame) -> Welcome:
        """What WELCOME says; its header has the session's number."""
        if frame.type != FrameType.WELCOME or frame.stream != 0 or (frame.session != 0) != self._numbered:
            raise FrameError(f"{frame.name} came where WELCOME was expected")
        self._numbering.session = frame.session
        self._numbering.accept(frame)
        welcome = Welcome.from_frame(frame)
        if welcome.version != 1:
            raise FrameError(f"the cloud chose version {welcome.version}, which was not offered")
        return welcome

    async def flush(self, deadline_s: float) -> None:
        """All was sent that the cloud needs to answer. A WebSocket has sent it already."""

    async def send(self, frame: Frame, stream: int, deadline_s: float) -> bool:
        """Send one frame; False if the connection is gone, and then `receive` says why. Raises CloudError `timeout`."""
        return await bounded(self._write(frame, stream), deadline_s, "sending to the cloud")

    async def spend(self, size: int, stream: int, deadline_s: float, most_bytes_down: int) -> Frame | None:
        """Wait until `size` bytes of a tensor may be sent. A frame of `stream` that comes instead is given, and nothing
        is spent. Raises what `receive` raises.
        """
        while self._credit is not None and self._credit < size:
            frame = await self.receive(stream, deadline_s, most_bytes_down, whatever=True)
            if frame.stream == stream and is_known(frame.type):
                return frame
        if self._credit is not None:
            self._credit -= size
        return None

    async def receive(self, stream: int, deadline_s: float, most_bytes_down: int, *, whatever: bool = False) -> Frame:
        """The next frame of `stream`, or the next at all if `whatever`; those of the session are dealt with here.
        Raises CloudError, `too_large` once `bytes_down` passes `most_bytes_down`.
        """
        while True:
            frame = await self._next(deadline_s)
            if self.bytes_down > most_bytes_down:
                raise FrameError("the cloud sends more than one answer may hold", code="too_large", close_code=1009)
            self._numbering.accept(frame)
            if not is_known(frame.type):
                if not frame.flags & Flag.OPTIONAL:
                    raise FrameError(f"{frame.name} is not known here")
                if whatever:
                    return frame
            elif frame.stream == stream:
                return frame
            elif frame.stream != 0:
                raise FrameError(f"{frame.name} came for stream {frame.stream}, which is not open")
            elif frame.type == FrameType.ERROR:
                raise error_of(frame)
            elif frame.type == FrameType.GOAWAY:
                self._going_away = True
                if whatever:
                    return frame
            elif frame.type == FrameType.CREDIT and self._credit is not None:
                self._credit = min(MAX_CREDIT, self._credit + int_of(frame.meta, "bytes", 1, MAX_CREDIT))
                if whatever:
                    return frame
            elif frame.type == FrameType.BYE:
                raise CloudError("the cloud ended the session before the answer was complete", code="closed")
            else:
                raise FrameError(f"{frame.name} came on the session's stream")

    def wire(self) -> Wire:
        """What the kernel saw of this connection's packets so far."""
        return wire_of(self._wire)

    def waiting(self) -> bool:
        """Whether a frame (or the end) has already arrived."""
        return not self._incoming.empty()

    def end_stream(self, stream: int) -> None:
        self._sent.clear()
        self._numbering.forget(stream)

    async def close(self, *farewell: tuple[Frame, int]) -> None:
        """Send `farewell` frames with their streams, then close: within CLOSE_S, and by force if the other side is
        stuck or the caller is cancelled. Never raises CloudError.
        """
        try:
            await within(self._leave(farewell), CLOSE_S)
        except asyncio.TimeoutError:
            self._abort()
            await self._socket.close()
        except asyncio.CancelledError:
            self._abort()
            raise
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def _write(self, frame: Frame, stream: int) -> bool:
        data = encode_frame(self._numbering.stamp(frame, stream))
        if stream and self.resumable:
            self._sent.append(data)
        self.bytes_up += len(data)  # at once: a deadline may cut short the wait for the other side, not what was sent
        try:
            await self._socket.send_bytes(data)
        except (ConnectionError, aiohttp.ClientError):
            self.bytes_up -= len(data)
            return False
        return True

    async def _leave(self, farewell: tuple[tuple[Frame, int], ...]) -> None:
        for frame, stream in farewell:
            if not self._socket.closed:
                await self._write(frame, stream)
        await self._socket.close()

    def _abort(self) -> None:
        """Let nothing wait for the other side any more, not even bytes that were not sent yet."""
        if self._wire is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                self._wire.shutdown(sockets.SHUT_RDWR)

    async def _next(self, deadline_s: float) -> Frame:
        item = await bounded(self._incoming.get(), deadline_s, "waiting for the cloud")
        if isinstance(item, CloudError):
            raise item
        self.bytes_down += len(item)
        return decode_frame(item)

    async def _read(self) -> None:
        while True:
            try:
                message = await self._socket.receive()
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                return await self._incoming.put(CloudError(f"the connection broke ({error})", code="closed"))
            if message.type == aiohttp.WSMsgType.BINARY:
                await self._incoming.put(message.data)
                continue
            return await self._incoming.put(_ending(message.type, message.data, self._socket.close_code))


def _ending(kind: aiohttp.WSMsgType, data: object, close_code: int | None) -> CloudError:
    if kind == aiohttp.WSMsgType.TEXT:
        return FrameError("the cloud sent a text message", close_code=1003)
    if isinstance(data, aiohttp.WebSocketError):
        close_code = data.code
    if close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
        text = f"the cloud sent a message of more than {MAX_DOWN_FRAME} bytes"
        return FrameError(text, code="too_large", close_code=1009)
    if isinstance(data, aiohttp.WebSocketError):
        return FrameError(f"the cloud broke the WebSocket protocol ({data})")
    return CloudError(f"the cloud closed the connection (code {close_code})", code="closed")


def _chunk_bytes(data: bytes) -> int:
    """Of an encoded frame what credit is counted in."""
    frame = decode_frame(data)
    return len(frame.payload) if frame.type == FrameType.TENSOR_CHUNK else 0
