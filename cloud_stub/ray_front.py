"""The front of the Ray Serve application: EAP/1 over ASGI's WebSockets, as cloud_stub.app speaks it over aiohttp's.

Imported only where Ray Serve is installed. FastAPI reads its routes' annotations, so that they are no strings here.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response, WebSocket
from ray import serve
from starlette.websockets import WebSocketDisconnect

from cloud_stub.app import HEARTBEAT_S, Access
from cloud_stub.backends.remote import RemoteBackend
from cloud_stub.link import SEND_S, takes_none
from cloud_stub.reception import Reception
from cloud_stub.turns import TurnDesk
from edge_agent.clock import within
from edge_agent.transport.frames import ENDPOINT, MAX_FRAME_BYTES, SUBPROTOCOL, FrameError

log = logging.getLogger("cloud_stub")
routes = FastAPI(openapi_url=None)


class SocketLink:
    """A WebSocket of Starlette as a way for frames."""

    resumable = True

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._closed = False

    async def receive(self, takes: Callable[[bytes], bool] = takes_none) -> bytes | None:
        while (data := await self._message()) is not None and takes(data):
            pass
        return data

    async def _message(self) -> bytes | None:
        message = await self._socket.receive()
        if message["type"] != "websocket.receive":
            self._closed = True
            return None
        data = message.get("bytes")
        if data is None:
            raise FrameError("text messages are not part of EAP/1", close_code=1003)
        if len(data) > MAX_FRAME_BYTES:
            raise FrameError("a message is larger than any frame", code="too_large", close_code=1009)
        return bytes(data)

    async def send(self, data: bytes) -> None:
        try:
            await within(self._socket.send_bytes(data), SEND_S)
        except (WebSocketDisconnect, RuntimeError) as error:
            raise ConnectionResetError from error

    async def close(self, code: int, message: bytes = b"") -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._socket.close(code, message.decode("ascii", "replace"))
            except (WebSocketDisconnect, RuntimeError):
                log.info("a client went away")


@serve.deployment
@serve.ingress(routes)
class Front:
    """Sessions and limits. `decoder` is the handle of the decoders. A front that dies forgets its sessions."""

    def __init__(self, decoder: Any, token: str | None, max_sessions: int, max_turns: int) -> None:
        self._decoder = decoder
        self._access = Access(token)
        self._token = token
        self._most = (max_sessions, max_turns)
        self._opening = asyncio.Lock()
        self._reception: Reception | None = None
        self._desk: TurnDesk | None = None

    @routes.websocket(ENDPOINT)
    async def eap(self, socket: WebSocket) -> None:
        reception = await self._opened()
        wanted = f"Bearer {self._token}"
        given = socket.headers.get("authorization", "")
        allowed = self._token is None or hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
        offered = [name.strip() for name in socket.headers.get("sec-websocket-protocol", "").split(",")]
        if "origin" in socket.headers or not allowed or SUBPROTOCOL not in offered or reception.full:
            await socket.close()  # before it is accepted: HTTP 403
            return
        await socket.accept(SUBPROTOCOL)
        await reception.receive(SocketLink(socket), self._access.principal())

    @routes.get("/healthz")
    async def health(self) -> dict[str, object]:
        await self._opened()
        assert self._desk is not None
        desk = self._desk
        return {
            "status": "live",
            "model": desk.backend.model,
            "turns_in_flight": desk.in_flight,
            "turns": desk.computed,
        }

    @routes.get("/readyz")
    async def ready(self) -> Response:
        await self._opened()
        return Response()

    async def _opened(self) -> Reception:
        async with self._opening:
            if self._reception is None:
                facts = await self._decoder.facts.remote()
                sessions, turns = self._most
                self._desk = TurnDesk(RemoteBackend(self._decoder, facts), max_in_flight=turns, workers=turns)
                self._reception = Reception(self._desk, HEARTBEAT_S, sessions)
            return self._reception
