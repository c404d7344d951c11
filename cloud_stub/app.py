"""The HTTP side of the reference cloud: routes, token, sessions, health, and a graceful end."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from dataclasses import dataclass

from aiohttp import web

from cloud_stub.link import BODY_BYTES, EventLink, WebSocketLink, end_behind
from cloud_stub.reception import Reception
from cloud_stub.turns import TurnDesk
from edge_agent.transport.frames import ENDPOINT, MAX_FRAME_BYTES, POST_ENDPOINT, SUBPROTOCOL

HEARTBEAT_S = 15
MAX_SESSIONS = 64


@dataclass(frozen=True, slots=True)
class Access:
    """Who may connect. `token` None: anybody who reaches the (loopback) port, except web pages."""

    token: str | None = None

    def refusal(self, request: web.Request) -> web.Response | None:
        """Why this request may not be upgraded, as a response; None if it may."""
        if "Origin" in request.headers:
            return _refuse(403, "web pages may not open sessions")
        if self.token is not None:
            given = request.headers.get("Authorization", "")
            wanted = f"Bearer {self.token}"
            if not hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8")):
                return _refuse(401, "a bearer token is needed")
        return None

    def principal(self) -> str:
        """Names the token without giving it away."""
        return hashlib.sha256((self.token or "").encode("utf-8")).hexdigest()[:16]


class CloudApp:
    """Routes and sessions of one cloud. `desk` computes the turns; `close` ends both."""

    def __init__(
        self, desk: TurnDesk, access: Access, *, max_sessions: int = MAX_SESSIONS, heartbeat_s: int = HEARTBEAT_S
    ) -> None:
        self._desk = desk
        self._access = access
        self._reception = Reception(desk, heartbeat_s, max_sessions)
        self._heartbeat_s = heartbeat_s
        self._started_s = time.monotonic()
        self.draining = False
        self.app = web.Application()
        self.app.router.add_get(ENDPOINT, self._websocket)
        self.app.router.add_post(POST_ENDPOINT, self._post)
        self.app.router.add_get("/healthz", self._healthz)
        self.app.router.add_get("/readyz", self._readyz)

    async def drain(self, drain_s: float) -> None:
        """Take nothing new, let running turns end for at most `drain_s`, close every session."""
        self.draining = True
        await self._reception.drain(drain_s)

    async def close(self) -> None:
        await self._reception.close()
        await self._desk.close()

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        refusal = self._access.refusal(request)
        if refusal is not None:
            return refusal
        if self.draining or self._reception.full:
            return _refuse(503, "no more sessions now", retry_after_s=1)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in [name.strip() for name in offered.split(",")]:
            return _refuse(400, f"connect by WebSocket with the subprotocol {SUBPROTOCOL}")
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,), heartbeat=self._heartbeat_s, compress=False, max_msg_size=MAX_FRAME_BYTES
        )
        await socket.prepare(request)
        await self._reception.receive(WebSocketLink(socket), self._access.principal())
        return socket

    async def _post(self, request: web.Request) -> web.StreamResponse:
        """One turn for who cannot have a WebSocket: the same frames, the answer as server-sent events."""
        refusal = self._access.refusal(request)
        if refusal is not None:
            return refusal
        if self.draining or self._reception.full:
            return _refuse(503, "no more sessions now", retry_after_s=1)
        if (request.content_length or 0) > BODY_BYTES:
            too_long = _refuse(413, f"a turn has at most {BODY_BYTES} bytes")
            await too_long.prepare(request)
            await end_behind(request, too_long)
            return too_long
        link = EventLink(request)
        pings = asyncio.get_running_loop().create_task(link.ping(HEARTBEAT_S))
        try:
            await self._reception.receive(link, self._access.principal())
        finally:
            pings.cancel()
            await asyncio.gather(pings, return_exceptions=True)
            await link.leave()
        if not link.response.prepared:
            return _refuse(400, "the body holds no HELLO and turn")
        return link.response

    async def _healthz(self, _: web.Request) -> web.Response:
        desk = self._desk
        body = {
            "status": "draining" if self.draining else "live",
            "model": desk.backend.model,
            "encoder_ids": list(desk.backend.encoder_ids),
            "uptime_s": round(time.monotonic() - self._started_s, 3),
            "sessions": self._reception.count,
            "turns_in_flight": desk.in_flight,
            "turns": desk.computed,
            "billed_microusd": desk.billed_microusd,
        }
        return web.json_response(body)

    async def _readyz(self, _: web.Request) -> web.Response:
        if self.draining:
            return _refuse(503, "draining", retry_after_s=1)
        return web.json_response({"status": "ready"})


def _refuse(status: int, message: str, *, retry_after_s: int | None = None) -> web.Response:
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        status=status,
        text=json.dumps({"error": {"message": message}}),
        content_type="application/json",
        headers=headers,
    )
