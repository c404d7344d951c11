"""A proxy before a cloud that lets no WebSocket through, as some do."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from clouds import listening


@dataclass
class Proxy:
    """Passes everything on but an upgrade, which it answers with `status`; 0: it hangs up. `stripped`: it takes the
    upgrade for a plain GET and passes that on.
    """

    target: str
    status: int = 400
    stripped: bool = False
    url: str = ""
    seen: list[str] = field(default_factory=list)
    change: Callable[[bytes], bytes] = bytes

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        upgrade = "Upgrade" in request.headers
        self.seen.append("UPGRADE" if upgrade else f"{request.method} {request.path}")
        if upgrade and not self.stripped:
            if not self.status:
                assert request.transport is not None
                request.transport.abort()
            return web.Response(status=self.status or 400)
        dropped = {"host", "upgrade", "connection", "content-length", "transfer-encoding"}
        headers = {name: value for name, value in request.headers.items() if name.lower() not in dropped}
        body = await request.read()  # it reads the whole body before it passes anything on
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, self.target + request.path, data=body or None, headers=headers) as got,
        ):
            response = web.StreamResponse(status=got.status, headers={"Content-Type": got.headers["Content-Type"]})
            await response.prepare(request)
            async for part in got.content.iter_any():
                await response.write(self.change(part))
            return response


@contextlib.asynccontextmanager
async def running_proxy(target: str, **about: object) -> AsyncIterator[Proxy]:
    proxy = Proxy(target, **about)  # type: ignore[arg-type]
    app = web.Application(client_max_size=32 << 20)
    app.router.add_route("*", "/{path:.*}", proxy.pass_on)
    async with listening(app) as url:
        proxy.url = url
        yield proxy
