"""The process that `bench ingest` measures: our server, a bare WebSocket and a bare POST, side by side in one loop."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Sequence

from aiohttp import web

from cloud_stub.app import Access, CloudApp
from cloud_stub.backends.base import Prompt
from cloud_stub.heap import keep_heap
from cloud_stub.turns import TurnDesk
from edge_agent.transport.frames import MAX_FRAME_BYTES
from edge_agent.types import Generation, TokenEvent

ENCODER, HIDDEN, CODEC = "bench", 2048, "raw-f32"
BARE, POST = "/bare", "/post"
HEARTBEAT_S = 3600  # a client that only sends answers no ping


class NoBackend:
    """Reads raw embeddings and is never asked: the turns of this benchmark end before their last tensor."""

    model = "none"
    encoder_ids: tuple[str, ...] = (ENCODER,)
    codecs: tuple[str, ...] = (CODEC,)
    hidden_size = HIDDEN
    detail_views: tuple[int, int] | None = None
    tokenizer_id: str | None = None

    def read(self, prompt: Prompt) -> Prompt:
        return prompt

    def prompt_tokens(self, prompt: Prompt) -> int:
        return 0

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        return iter(())

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        return Generation("", 0.0, 0.0, 0)


async def bare(request: web.Request) -> web.WebSocketResponse:
    """Receives, with the options of our server; a text is answered, so that the client knows that all has come."""
    socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, compress=False, max_msg_size=MAX_FRAME_BYTES)
    await socket.prepare(request)
    while True:
        message = await socket.receive()
        if message.type == web.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type != web.WSMsgType.BINARY:
            return socket


async def post(request: web.Request) -> web.Response:
    """Reads the body."""
    await request.read()
    return web.Response(status=204)


async def serve() -> None:
    """Listen on a free port of the loopback, print it, and go on until the input ends."""
    keep_heap()  # as python -m cloud_stub does
    cloud = CloudApp(TurnDesk(NoBackend(), max_in_flight=256), Access(), max_sessions=256, heartbeat_s=HEARTBEAT_S)
    cloud.app.router.add_get(BARE, bare)
    cloud.app.router.add_post(POST, post)
    runner = web.AppRunner(cloud.app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        sys.stdout.write(json.dumps({"port": runner.addresses[0][1]}) + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    finally:
        await cloud.close()
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
