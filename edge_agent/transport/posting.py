"""A turn by POST, its answer as server-sent events: for who cannot have a WebSocket, see docs/protocol.md."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any, NamedTuple

import aiohttp

from edge_agent.errors import CloudError
from edge_agent.transport import features
from edge_agent.transport.connection import Connection, bounded
from edge_agent.transport.dialing import MAX_DOWN_FRAME, SessionFactory, refusal, trouble_of
from edge_agent.transport.frames import ENDPOINT, POST_ENDPOINT, SUBPROTOCOL, FrameType
from edge_agent.transport.messages import Welcome, error_of

LOOK_AGAIN_S = 600.0
"""For so long after a POST went well where a WebSocket did not, nobody tries a WebSocket."""
SPOKEN = (features.DRAFT,)
"""The features that gain something here: nothing outlasts the one turn."""
_LINE_BYTES = 2 * MAX_DOWN_FRAME  # base64 and its prefix, rounded up


class Received(NamedTuple):
    """dialing.Message of a PostSocket."""

    type: aiohttp.WSMsgType
    data: Any = None


class PostSocket:
    """One POST in the place of a WebSocket (dialing.Socket): frames are kept until `flush` sends them as its body; then
    the frames of its events come.
    """

    protocol = SUBPROTOCOL

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None) -> None:
        self._session = session
        self._url = url
        self._headers = {"Accept": "text/event-stream", "Content-Type": "application/octet-stream"}
        self._headers |= {"Authorization": f"Bearer {token}"} if token else {}
        self._body = bytearray()
        self._read = bytearray()
        self._response: asyncio.Future[aiohttp.ClientResponse] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.close_code: int | None = None

    @property
    def waiting(self) -> int:
        """Bytes that were not sent."""
        return len(self._body)

    def get_extra_info(self, name: str) -> Any:
        """Nothing: connections are the session's own."""
        return None

    async def send_bytes(self, data: bytes) -> None:
        """Keep it for the body. What comes after `flush` has no way to travel."""
        if not self.closed and not self._response.done():
            self._body += data

    async def flush(self) -> None:
        """Send the body. Raises CloudError if it is not answered with events."""
        posting = self._session.post(
            self._url,
            data=bytes(self._body),
            headers=self._headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None),  # whoever asks has a deadline
        )
        try:
            response = await posting
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise trouble_of(self._url, error) from error
        if self.closed or response.status != 200 or response.content_type != "text/event-stream":
            response.close()
            raise refusal(self._url, response.status)
        self._response.set_result(response)

    async def receive(self) -> Received:
        """The next frame, or the end, as messages of a WebSocket."""
        response = await asyncio.shield(self._response)
        while line := await self._line(response):
            if not line.startswith(b"data:"):
                continue  # a comment, which keeps the connection open, or what this release does not know
            try:
                data = base64.b64decode(line[5:].strip(), validate=True)
            except binascii.Error as error:
                return Received(aiohttp.WSMsgType.ERROR, aiohttp.WebSocketError(1002, str(error)))
            return Received(aiohttp.WSMsgType.BINARY, data)
        self.closed = True
        return Received(aiohttp.WSMsgType.CLOSED)

    async def close(self) -> bool:
        """End it; a turn that still runs is cancelled by that."""
        self.closed = True
        if self._response.done() and not self._response.cancelled():
            self._response.result().close()
        else:
            self._response.cancel()
        return True

    async def _line(self, response: aiohttp.ClientResponse) -> bytes:
        """The next line, with its end; empty at the end of all."""
        while (end := self._read.find(b"\n") + 1) == 0 and len(self._read) <= _LINE_BYTES:
            more = await response.content.readany()
            if not more:
                return b""
            self._read += more
        if not 0 < end <= _LINE_BYTES:
            self.close_code = aiohttp.WSCloseCode.MESSAGE_TOO_BIG
            return b""
        line = bytes(self._read[:end])
        del self._read[:end]
        return line


class Poster:
    """Remembers that a cloud is spoken to by POST, and what it said in its WELCOME. `url` is that of its WebSocket; one
    of another path than ENDPOINT's has no POST beside it.
    """

    def __init__(self, url: str, token: str | None, device: str, session_factory: SessionFactory) -> None:
        base, _, rest = url.rpartition(ENDPOINT)
        self._url = "" if rest or not base else "http" + (base + POST_ENDPOINT).removeprefix("ws")
        self._token = token
        self._device = device
        self._session_factory = session_factory
        self._welcome: Welcome | None = None
        self._until_s = 0.0
        self._rtt_ms = 0.0

    @property
    def chosen(self) -> bool:
        """Whether POST is what got through lately."""
        return asyncio.get_running_loop().time() < self._until_s

    @property
    def possible(self) -> bool:
        """Whether there is a place to post to."""
        return bool(self._url)

    def forget(self) -> None:
        """Something went wrong: the next turn asks who is there, and by a WebSocket first."""
        self._welcome, self._until_s = None, 0.0

    async def connect(self, deadline_s: float) -> Connection:
        """A connection for one turn. The first time it costs a round trip more, for WELCOME. Raises CloudError."""
        up = down = 0
        if self._welcome is None:
            greeting = self._open()
            try:
                self._welcome = await greeting.greet(self._device, deadline_s)
            finally:
                await greeting.close()
            self._rtt_ms, up, down = greeting.rtt_ms, greeting.bytes_up, greeting.bytes_down
            self._until_s = asyncio.get_running_loop().time() + LOOK_AGAIN_S
        connection = self._open()
        await connection.presume(self._device, self._welcome)
        connection.rtt_ms = self._rtt_ms
        connection.bytes_up += up
        connection.bytes_down += down
        return connection

    def _open(self) -> PostConnection:
        return PostConnection(PostSocket(self._session_factory(), self._url, self._token))


class PostConnection(Connection):
    """One turn, or one greeting, over one PostSocket. Its session has no number."""

    named = SPOKEN
    _numbered = False

    def __init__(self, socket: PostSocket) -> None:
        super().__init__(socket)
        self._post = socket

    @property
    def reusable(self) -> bool:
        """Never: one POST is one turn."""
        return False

    async def presume(self, device: str, welcome: Welcome) -> None:
        """HELLO goes with the turn, and WELCOME is taken to be as it was."""
        await self._write(self._hello(device), 0)
        self.welcome = welcome

    async def flush(self, deadline_s: float) -> None:
        """Send what was kept. Raises CloudError, `closed` where another cloud answers than the one that was greeted."""
        unsent = self._post.waiting
        try:
            await bounded(self._post.flush(), deadline_s, "sending to the cloud")
        except CloudError as error:
            if error.code != "timeout":
                self.bytes_up -= unsent
            raise
        if self.welcome is None:
            return
        frame = await self._next(deadline_s)
        if frame.type == FrameType.ERROR:
            raise error_of(frame)
        if self._welcomed(frame) != self.welcome:
            raise CloudError("the cloud is not the one that it was", code="closed")
