"""The client of a cloud: one turn up, its tokens down, within a deadline; every failure is a typed CloudError."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import aiohttp

from edge_agent.errors import CloudError
from edge_agent.transport.connection import (
    Connection,
    bounded,
)
from edge_agent.transport.dialing import CLOSE_S, SessionFactory, UpgradeRefused, dial, open_session, trouble_of
from edge_agent.transport.exchange import Exchange
from edge_agent.transport.frames import Frame, FrameError, FrameType
from edge_agent.transport.hosts import endpoints
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Welcome
from edge_agent.transport.posting import Poster
from edge_agent.transport.request import TurnRequest, TurnResult, check_request
from edge_agent.transport.spent import Spent
from edge_agent.types import TokenEvent

__all__ = ["CloudClient", "CloudHealth", "TurnRequest", "TurnResult"]

REVIVE_AFTER_S = (0.0, 0.1, 0.4, 1.0)
"""Waits before each try to go on over another connection."""
_GREET_AGAIN = frozenset(
    {"unreachable", "closed", "protocol", "auth", "unknown_encoder", "unknown_codec", "bad_tensor"}
)
_OF_A_CLOUD = frozenset({"auth", "overloaded"})
_MAX_HEALTH_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class CloudHealth:
    """What a probe of /healthz found. `rtt_ms` is None when nothing answered; `detail` says why not."""

    reachable: bool
    rtt_ms: float | None = None
    detail: str = ""


class CloudClient:
    """Talks EAP/1 to one cloud. Nothing is opened before the first turn or probe; one idle connection is kept.

    `url` is http(s):// or ws(s)://host[:port][/path]; without a path, /eap/v1/ws. Raises UsageError for another URL, or
    for a token that would travel in the clear to another machine. `session_factory` makes the HTTP session (tests count
    with it); `connects` counts attempts to open a WebSocket. Where an upgrade is refused, by a proxy for instance,
    turns go by POST. Close it, or use it as an async context.

    A connection that is given up is left in the background, so that nobody waits for a cloud that says nothing: at most
    CLOSE_S each, and `close` waits for all of them.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        connect_timeout_s: float = 2.0,
        device: str = "",
        session_factory: SessionFactory = open_session,
    ) -> None:
        self.url, self._health_url = endpoints(url, bool(token))
        self.connects = 0
        self._token = token
        self._connect_timeout_s = connect_timeout_s
        self._device = device
        self._session_factory = session_factory
        self._poster = Poster(self.url, token, device, self._opened)
        self._session: aiohttp.ClientSession | None = None
        self._idle: Connection | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> CloudClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def turn(self, request: TurnRequest) -> AsyncGenerator[TokenEvent | TurnResult, None]:
        """Ask; stream the tokens, then exactly one TurnResult.

        Ends by the request's deadline. Leaving early (use contextlib.aclosing) returns at once; CANCEL and the end of
        the connection follow in the background. An error says what the turn has cost by then (`bytes_up`, `bytes_down`,
        `asked`).
        Raises CloudError with code unreachable, auth, overloaded, draining, timeout, closed, protocol, too_large,
        unknown_encoder, unknown_codec, bad_tensor, over_budget, bad_request or internal.
        """
        tally = Spent()
        try:
            if request.deadline_ms <= 0:
                raise CloudError("the deadline passed before the cloud was asked", code="timeout")
            check_request(request, Limits())
            async with aclosing(self._attempts(request, tally)) as items:
                async for item in items:
                    yield item
        except CloudError as error:
            error.bytes_up, error.bytes_down, error.asked = tally.up, tally.down, tally.asked
            if error.code in _GREET_AGAIN:
                self._poster.forget()
            raise
        finally:
            request.spent.add(tally)

    async def probe(self, timeout_s: float = 2.0) -> CloudHealth:
        """Ask /healthz once. Never raises CloudError: what went wrong is in `detail`."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        try:
            status = await bounded(self._health_status(), started_s + timeout_s, "asking for its health")
        except CloudError as error:
            return CloudHealth(False, detail=error.message)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return CloudHealth(False, detail=trouble_of(self._health_url, error).message)
        rtt_ms = (loop.time() - started_s) * 1000
        return CloudHealth(status == 200, rtt_ms, "" if status == 200 else f"{self._health_url} answers HTTP {status}")

    async def close(self) -> None:
        """Close every connection and the session, by force after CLOSE_S. May be called twice."""
        idle, self._idle = self._idle, None
        if idle is not None:
            self._leave(idle, (Frame(FrameType.BYE), 0))
        session, self._session = self._session, None
        try:
            await self._wait_for_leaving()
        finally:
            if session is not None:
                await session.close()

    async def _wait_for_leaving(self) -> None:
        leaving = set(self._leaving)
        if not leaving:
            return
        _, late = await asyncio.wait(leaving, timeout=CLOSE_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _leave(self, connection: Connection, *farewell: tuple[Frame, int]) -> None:
        """Say `farewell` and close, without waiting for it here."""
        task = asyncio.get_running_loop().create_task(connection.close(*farewell))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _attempts(self, request: TurnRequest, tally: Spent) -> AsyncGenerator[TokenEvent | TurnResult, None]:
        """The turn on the idle connection; if that turns out to be dead before it answered, once more on a new one."""
        started_s = asyncio.get_running_loop().time()
        idle, self._idle = self._idle, None
        if idle is not None and not idle.reusable:
            self._leave(idle)
            idle = None
        if idle is not None:
            exchange = Exchange(idle, _welcome_of(idle), request, started_s)
            try:
                async with aclosing(self._exchange(exchange, idle, request, tally)) as items:
                    async for item in items:
                        yield item
                return
            except CloudError as error:
                forgotten = error.code == "forgotten"
                if not forgotten and (exchange.answered or error.code != "closed"):
                    raise
        connection = await self._connect(started_s, request, tally)
        exchange = Exchange(connection, _welcome_of(connection), request, started_s)
        async with aclosing(self._exchange(exchange, connection, request, tally)) as items:
            async for item in items:
                yield item

    async def _exchange(
        self, exchange: Exchange, connection: Connection, request: TurnRequest, tally: Spent
    ) -> AsyncGenerator[TokenEvent | TurnResult, None]:
        up, down = connection.bytes_up, connection.bytes_down
        complete = False
        deadline_s = asyncio.get_running_loop().time() + request.deadline_ms / 1000

        async def revive(stream: int, error: CloudError) -> None:
            await self._revive(connection, stream, error, deadline_s)

        exchange.revive = revive
        try:
            await exchange.prepare()
            async with aclosing(exchange.run(up - tally.up, down - tally.down)) as items:
                async for item in items:
                    complete = isinstance(item, TurnResult)
                    if complete:
                        self._keep(connection)
                    yield item
        finally:
            tally.up += connection.bytes_up - up
            tally.down += connection.bytes_down - down
            tally.asked = tally.asked or exchange.asked
            if not complete:
                cancel = ((Frame(FrameType.CANCEL), exchange.stream),) if exchange.asked else ()
                self._leave(connection, *cancel, (Frame(FrameType.BYE), 0))

    async def _connect(self, started_s: float, request: TurnRequest, tally: Spent) -> Connection:
        deadline_s = started_s + request.deadline_ms / 1000
        if self._poster.chosen:
            return await self._posting(deadline_s, tally)
        self.connects += 1
        try:
            socket = await dial(self._opened(), self.url, self._token, self._connect_timeout_s, deadline_s)
        except UpgradeRefused as refused:
            return await self._posting(deadline_s, tally, refused)
        connection = Connection(socket)
        try:
            greeting_s = min(deadline_s, asyncio.get_running_loop().time() + self._connect_timeout_s)
            await connection.greet(self._device, greeting_s)
        except BaseException:
            self._leave(connection)
            raise
        finally:
            tally.up += connection.bytes_up
            tally.down += connection.bytes_down
        return connection

    async def _posting(self, deadline_s: float, tally: Spent, refused: CloudError | None = None) -> Connection:
        """A connection by POST, where a WebSocket was `refused`, just now or lately. Raises that error if a POST does
        not get through to a cloud either.
        """
        if refused is not None and not self._poster.possible:
            raise refused
        until_s = min(deadline_s, asyncio.get_running_loop().time() + self._connect_timeout_s)
        try:
            connection = await self._poster.connect(until_s)
        except CloudError as error:
            self._poster.forget()
            raise (error if refused is None or error.code in _OF_A_CLOUD else refused) from error
        tally.up += connection.bytes_up
        tally.down += connection.bytes_down
        return connection

    async def _revive(self, connection: Connection, stream: int, error: CloudError, deadline_s: float) -> None:
        """Go on with a session whose connection broke. Raises `error` where that cannot be done soon enough."""
        if not connection.resumable:
            raise error
        for wait_s in REVIVE_AFTER_S:
            await bounded(asyncio.sleep(wait_s), deadline_s, "waiting to connect again")
            self.connects += 1
            try:
                socket = await dial(self._opened(), self.url, self._token, self._connect_timeout_s, deadline_s)
                await connection.resume(socket, stream, deadline_s)
            except CloudError as failure:
                if failure.code not in ("unreachable", "closed", "overloaded"):
                    raise error from failure
            else:
                return
        raise error

    def _keep(self, connection: Connection) -> None:
        if self._idle is None and connection.reusable:
            self._idle = connection
        else:
            self._leave(connection, (Frame(FrameType.BYE), 0))

    async def _health_status(self) -> int:
        async with self._opened().get(self._health_url, allow_redirects=False) as response:
            await response.content.read(_MAX_HEALTH_BYTES)
            return response.status

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = self._session_factory()
        return self._session


def _welcome_of(connection: Connection) -> Welcome:
    if connection.welcome is None:
        raise FrameError("a connection was used before WELCOME")
    return connection.welcome
