"""One WebSocket to a cloud: upgrade, HELLO and WELCOME, frames up and down with deadlines, bytes counted."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
from asyncio.trsock import TransportSocket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp

from edge_agent.errors import CloudError
from edge_agent.transport.codecs import CODECS
from edge_agent.transport.drafts import DRAFT_FEATURE
from edge_agent.transport.frames import (
    HEADER_BYTES,
    MAX_META_BYTES,
    SUBPROTOCOL,
    Flag,
    Frame,
    FrameError,
    FrameType,
    decode_frame,
    encode_frame,
    is_known,
)
from edge_agent.transport.messages import Hello, Welcome, error_of
from edge_agent.transport.numbering import Numbering
from edge_agent.transport.resolver import DaemonResolver
from edge_agent.transport.wire import Wire, wire_of

T = TypeVar("T")

FEATURES = (DRAFT_FEATURE,)
HEARTBEAT_S = 15.0
CLOSE_S = 0.4
_QUEUE_FRAMES = 32
_MAX_DOWN_PAYLOAD = 64 * 1024
_MAX_DOWN_FRAME = HEADER_BYTES + MAX_META_BYTES + _MAX_DOWN_PAYLOAD


async def bounded(wait: Awaitable[T], deadline_s: float, what: str) -> T:
    """`wait`, no longer than until `deadline_s` of the event loop's time. Raises CloudError `timeout`."""
    left_s = deadline_s - asyncio.get_running_loop().time()
    try:
        return await asyncio.wait_for(wait, max(0.0, left_s))
    except asyncio.TimeoutError as error:
        raise CloudError(f"the deadline passed while {what}", code="timeout") from error


class Connection:
    """An open session. One turn uses it at a time; a reader task takes frames off the socket into a bounded queue
    (full: the socket waits, so TCP slows the cloud down) and answers pings in between.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket
        self._wire: TransportSocket | None = socket.get_extra_info("socket")
        self._incoming: asyncio.Queue[bytes | CloudError] = asyncio.Queue(_QUEUE_FRAMES)
        self._reader = asyncio.get_running_loop().create_task(self._read())
        self._numbering = Numbering()
        self._last_stream = 0
        self._going_away = False
        self.welcome: Welcome | None = None
        self.rtt_ms = 0.0
        self.bytes_up = 0
        self.bytes_down = 0

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
        hello = Hello(codecs=tuple(sorted(CODECS)), device=device, features=FEATURES)
        started_s = asyncio.get_running_loop().time()
        await self.send(hello.to_frame(), 0, deadline_s)
        frame = await self._next(deadline_s)
        self.rtt_ms = (asyncio.get_running_loop().time() - started_s) * 1000
        if frame.type == FrameType.ERROR:
            raise error_of(frame)
        if frame.type != FrameType.WELCOME or frame.stream != 0 or frame.session == 0:
            raise FrameError(f"{frame.name} came where WELCOME was expected")
        self._numbering.session = frame.session
        self._numbering.accept(frame)
        welcome = Welcome.from_frame(frame)
        if welcome.version != 1:
            raise FrameError(f"the cloud chose version {welcome.version}, which was not offered")
        self.welcome = welcome
        return welcome

    async def send(self, frame: Frame, stream: int, deadline_s: float) -> bool:
        """Send one frame; False if the connection is gone, and then `receive` says why. Raises CloudError `timeout`."""
        return await bounded(self._write(frame, stream), deadline_s, "sending to the cloud")

    async def receive(self, stream: int, deadline_s: float, most_bytes_down: int) -> Frame:
        """The next frame of `stream`; session frames are dealt with here. Raises CloudError, `too_large` once
        `bytes_down` passes `most_bytes_down`.
        """
        while True:
            frame = await self._next(deadline_s)
            if self.bytes_down > most_bytes_down:
                raise FrameError("the cloud sends more than one answer may hold", code="too_large", close_code=1009)
            self._numbering.accept(frame)
            if not is_known(frame.type):
                if not frame.flags & Flag.OPTIONAL:
                    raise FrameError(f"{frame.name} is not known here")
            elif frame.stream == stream:
                return frame
            elif frame.stream != 0:
                raise FrameError(f"{frame.name} came for stream {frame.stream}, which is not open")
            elif frame.type == FrameType.ERROR:
                raise error_of(frame)
            elif frame.type == FrameType.GOAWAY:
                self._going_away = True
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
        self._numbering.forget(stream)

    async def close(self, *farewell: tuple[Frame, int]) -> None:
        """Send `farewell` frames with their streams, then close: within CLOSE_S, and by force if the other side is
        stuck or the caller is cancelled. Never raises CloudError.
        """
        try:
            await asyncio.wait_for(self._leave(farewell), CLOSE_S)
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


async def connect(
    session: aiohttp.ClientSession, url: str, token: str | None, timeout_s: float, deadline_s: float
) -> Connection:
    """Open the WebSocket at `url` (ws, wss). Raises CloudError: unreachable, auth, overloaded, protocol or timeout."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    loop = asyncio.get_running_loop()
    opening = session.ws_connect(
        url,
        protocols=(SUBPROTOCOL,),
        headers=headers,
        max_msg_size=_MAX_DOWN_FRAME,
        heartbeat=HEARTBEAT_S,
        compress=0,
        timeout=_close_timeout(),
    )
    limit_s = min(deadline_s, loop.time() + timeout_s)
    try:
        socket = await asyncio.wait_for(opening, max(0.0, limit_s - loop.time()))
    except asyncio.TimeoutError as error:
        code = "timeout" if limit_s == deadline_s else "unreachable"
        raise CloudError(f"no connection to {url} in time", _START, code=code) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise trouble_of(url, error) from error
    return Connection(socket)


def trouble_of(url: str, error: Exception) -> CloudError:
    """What an error of aiohttp or of the sockets below means to who asked `url`."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return _refusal(url, error.status)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return CloudError(f"the certificate of {url} is not trusted", _TRUST, code="auth", retryable=False)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return CloudError(f"{url} does not speak TLS", _TRUST, code="protocol", retryable=False)
    if isinstance(error, (aiohttp.ClientConnectionError, OSError)):
        return CloudError(f"no connection to {url}", _START, code="unreachable")
    text = f"{url} does not answer as an EAP/1 cloud ({type(error).__name__})"
    return CloudError(text, code="protocol", retryable=False)


def open_session() -> aiohttp.ClientSession:
    """A client session that follows no redirect, keeps no cookie and takes no proxy from the environment."""
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=DaemonResolver()),
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


SessionFactory = Callable[[], aiohttp.ClientSession]
_TRUST = "docs/cloud.md has the commands for a certificate of one's own"
_START = "is it running? start one with: python -m cloud_stub"


def _close_timeout() -> Any:
    """How long a close waits for the other side, as this aiohttp (3.11 and later, or before) wants it."""
    return aiohttp.ClientWSTimeout(ws_close=CLOSE_S) if hasattr(aiohttp, "ClientWSTimeout") else CLOSE_S


async def _refuse_redirect(*_: Any) -> None:
    raise CloudError("the cloud redirects elsewhere; redirects are not followed", code="protocol", retryable=False)


def _refusal(url: str, status: int) -> CloudError:
    if status in (401, 403):
        text = f"{url} refused the token (HTTP {status})"
        return CloudError(text, "set EDGE_AGENT_CLOUD_TOKEN", code="auth", retryable=False)
    if status in (429, 503):
        return CloudError(f"{url} takes no more sessions now (HTTP {status})", code="overloaded")
    return CloudError(f"{url} does not answer as an EAP/1 cloud (HTTP {status})", code="protocol", retryable=False)


def _ending(kind: aiohttp.WSMsgType, data: object, close_code: int | None) -> CloudError:
    if kind == aiohttp.WSMsgType.TEXT:
        return FrameError("the cloud sent a text message", close_code=1003)
    if isinstance(data, aiohttp.WebSocketError):
        close_code = data.code
    if close_code == aiohttp.WSCloseCode.MESSAGE_TOO_BIG:
        text = f"the cloud sent a message of more than {_MAX_DOWN_FRAME} bytes"
        return FrameError(text, code="too_large", close_code=1009)
    if isinstance(data, aiohttp.WebSocketError):
        return FrameError(f"the cloud broke the WebSocket protocol ({data})")
    return CloudError(f"the cloud closed the connection (code {close_code})", code="closed")
