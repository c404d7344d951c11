"""Opens the WebSocket to a cloud, and says in typed errors why it cannot be opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

import aiohttp

from edge_agent.clock import within
from edge_agent.errors import CloudError
from edge_agent.transport.frames import HEADER_BYTES, MAX_META_BYTES, SUBPROTOCOL
from edge_agent.transport.resolver import DaemonResolver

HEARTBEAT_S = 15.0
CLOSE_S = 0.4
_MAX_DOWN_PAYLOAD = 64 * 1024
MAX_DOWN_FRAME = HEADER_BYTES + MAX_META_BYTES + _MAX_DOWN_PAYLOAD


class Message(Protocol):
    """What a socket received."""

    @property
    def type(self) -> aiohttp.WSMsgType: ...

    @property
    def data(self) -> Any: ...


class Socket(Protocol):
    """What a connection needs of a WebSocket: aiohttp's, or what stands in its place."""

    @property
    def protocol(self) -> str | None: ...

    @property
    def closed(self) -> bool: ...

    @property
    def close_code(self) -> int | None: ...

    def get_extra_info(self, name: str) -> Any: ...

    async def send_bytes(self, data: bytes) -> None: ...

    async def receive(self) -> Message: ...

    async def close(self) -> bool: ...


class UpgradeRefused(CloudError):
    """Something answered, but not with a WebSocket: a cloud that refuses, no cloud, or what stands before it."""


async def dial(
    session: aiohttp.ClientSession, url: str, token: str | None, timeout_s: float, deadline_s: float
) -> Socket:
    """Open the WebSocket at `url` (ws, wss). Raises CloudError: unreachable, auth, overloaded, protocol or timeout;
    UpgradeRefused where a POST may get through.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    loop = asyncio.get_running_loop()
    opening = session.ws_connect(
        url,
        protocols=(SUBPROTOCOL,),
        headers=headers,
        max_msg_size=MAX_DOWN_FRAME,
        heartbeat=HEARTBEAT_S,
        compress=0,
        timeout=_close_timeout(),
    )
    limit_s = min(deadline_s, loop.time() + timeout_s)
    try:
        socket = await within(opening, limit_s - loop.time())
    except asyncio.TimeoutError as error:
        code = "timeout" if limit_s == deadline_s else "unreachable"
        raise CloudError(f"no connection to {url} in time", _START, code=code) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise trouble_of(url, error) from error
    return socket


def trouble_of(url: str, error: Exception) -> CloudError:
    """What an error of aiohttp or of the sockets below means to who asked `url`."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return refusal(url, error.status)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return UpgradeRefused(f"{url} hung up", _START if url.startswith("wss:") else _PLAIN, code="unreachable")
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
_PLAIN = "is it a cloud? one that was started with --tls-cert is asked by https://"
_START = "is it running? start one with: python -m cloud_stub"


def _close_timeout() -> Any:
    """How long a close waits for the other side, as this aiohttp (3.11 and later, or before) wants it."""
    return aiohttp.ClientWSTimeout(ws_close=CLOSE_S) if hasattr(aiohttp, "ClientWSTimeout") else CLOSE_S


async def _refuse_redirect(*_: Any) -> None:
    raise CloudError("the cloud redirects elsewhere; redirects are not followed", code="protocol", retryable=False)


def refusal(url: str, status: int) -> CloudError:
    """What the status of an answer means that is no WebSocket, or no events."""
    if status in (401, 403):
        text = f"{url} refused the token (HTTP {status})"
        kind = CloudError if status == 401 else UpgradeRefused
        return kind(text, "set EDGE_AGENT_CLOUD_TOKEN", code="auth", retryable=False)
    if status in (429, 503):
        return CloudError(f"{url} takes no more sessions now (HTTP {status})", code="overloaded")
    return UpgradeRefused(f"{url} does not answer as an EAP/1 cloud (HTTP {status})", code="protocol", retryable=False)
