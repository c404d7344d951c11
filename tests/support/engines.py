"""An engine behind the cloud, for tests: speaks what OpenAI-compatible servers and vLLM 0.32 were seen to say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
from aiohttp import web


class Engine:
    """Streams `words`, one token an event; keeps each request. `status` other than 200 refuses, `logprobs` False tells
    none, `raw` is sent in place of events, `wait` makes it stop before the last word until it is set.
    """

    def __init__(self, words: tuple[str, ...] = (" a", " red", " cup"), finish: str = "stop") -> None:
        self.words = words
        self.finish = finish
        self.status = 200
        self.retry_after: str | None = None
        self.logprobs = True
        self.raw: bytes | None = None
        self.wait: threading.Event | None = None
        self.bodies: list[dict[str, Any]] = []
        self.asked_whole: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.left = threading.Event()

    async def models(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        return web.json_response({"object": "list", "data": [{"id": "served-model", "object": "model"}]})

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.headers.append(dict(request.headers))
        if not body.get("stream"):
            self.asked_whole.append(body)
            return self.whole(body)
        self.bodies.append(body)
        if self.status != 200:
            said = {"error": {"message": "secrets of another tenant", "type": "BadRequestError", "code": self.status}}
            headers = {} if self.retry_after is None else {"Retry-After": self.retry_after}
            return web.json_response(said, status=self.status, headers=headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            await self._speak(response)
        except ConnectionError:
            self.left.set()
        return response

    def whole(self, body: dict[str, Any]) -> web.Response:
        """Of a question whose answer is not streamed: here one that knows no token ids."""
        return web.json_response({"choices": [{"message": {"content": "".join(self.words)}}]})

    async def _speak(self, response: web.StreamResponse) -> None:
        if self.raw is not None:
            await response.write(self.raw)
            return
        await self._send(response, {"role": "assistant", "content": ""}, None)
        for at, word in enumerate(self.words):
            while at == len(self.words) - 1 and self.wait is not None and not self.wait.is_set():
                await response.write(b": ping\n\n")
                await asyncio.sleep(0.005)
            told = {"content": [self._told(word)]} if self.logprobs else None
            await self._send(response, {"content": word}, told)
        await self._send(response, {}, None, self.finish)
        await response.write(b'data: {"choices":[],"usage":{"prompt_tokens":60,"completion_tokens":3}}\n\n')
        await response.write(b"data: [DONE]\n\n")

    def _told(self, word: str) -> dict[str, Any]:
        top = [{"token": word, "logprob": -0.1}, {"token": " cat", "logprob": -3.0}]
        return {"token": word, "logprob": -0.1, "bytes": list(word.encode()), "top_logprobs": top}

    async def _send(
        self, response: web.StreamResponse, delta: dict[str, str], told: Any, finish: str | None = None
    ) -> None:
        choice = {"index": 0, "delta": delta, "logprobs": told, "finish_reason": finish}
        chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "served-model", "choices": [choice]}
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


@contextlib.contextmanager
def served(engine: Engine) -> Iterator[str]:
    """Its URL; it runs in a thread of its own, since backends block."""
    loop = asyncio.new_event_loop()
    app = web.Application(client_max_size=32 << 20)
    app.router.add_get("/v1/models", engine.models)
    app.router.add_post("/v1/chat/completions", engine.chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{asyncio.run_coroutine_threadsafe(start(), loop).result()}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def tensor_in(part: dict[str, Any]) -> np.ndarray:
    """What vLLM would read of an `image_embeds` part."""
    assert part["type"] == "image_embeds"
    return np.load(io.BytesIO(base64.b64decode(part["image_embeds"], validate=True)), allow_pickle=False)
