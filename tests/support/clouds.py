"""Clouds for tests: a tiny deterministic backend in the real server, and a client that sends it frame by frame."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import aiohttp
import numpy as np
from aiohttp import web

from cloud_stub.app import Access, CloudApp
from cloud_stub.backends.base import Prompt
from cloud_stub.turns import Prices, TurnDesk
from edge_agent.errors import CloudError, UsageError
from edge_agent.transport.client import CloudClient, TurnRequest, TurnResult
from edge_agent.transport.codecs import CODECS, PICTURE_CODECS, PIXELS, EncodedTensor, find_codec
from edge_agent.transport.frames import ENDPOINT, SUBPROTOCOL, Frame, FrameType, decode_frame, encode_frame
from edge_agent.transport.limits import Limits
from edge_agent.transport.messages import Hello, TensorBegin, TurnOpening, Welcome, uuid7
from edge_agent.transport.numbering import Numbering
from edge_agent.types import Embeddings, Generation, TokenEvent

ENCODER = "fake-encoder"
HIDDEN = 8


class FakeBackend:
    """Answers w0 w1 w2 ...; waits before token `stop_before` until `gate` is set; `made` counts tokens, `prompts` keeps
    what was asked. Not one random number, not one clock.
    """

    model = "fake"
    encoder_ids: tuple[str, ...] = (ENCODER,)
    hidden_size = HIDDEN
    detail_views: tuple[int, int] | None = None
    tokenizer_id: str | None = None

    def __init__(self, words: int = 3, stop_before: int | None = None, failure: Exception | None = None) -> None:
        self.words = words
        self.stop_before = stop_before
        self.failure = failure
        self.gate = threading.Event()
        self.stopped = threading.Event()
        self.made = 0
        self.prompts: list[Prompt] = []

    @property
    def codecs(self) -> tuple[str, ...]:
        return tuple(sorted((*CODECS, *(PICTURE_CODECS if PIXELS in self.encoder_ids else ()))))

    def read(self, prompt: Prompt) -> Prompt:
        return prompt

    def prompt_tokens(self, prompt: Prompt) -> int:
        if prompt.question == "too long":
            raise UsageError("the question does not fit")
        return len(prompt.question.split()) + sum(len(one.data) for one in prompt.embeddings)

    def stream(self, prompt: Prompt, cancelled: Callable[[], bool]) -> Iterator[TokenEvent]:
        self.prompts.append(prompt)
        if self.failure is not None:
            raise self.failure
        try:
            for index in range(min(self.words, prompt.max_new_tokens)):
                while index == self.stop_before and not self.gate.wait(0.01) and not cancelled():
                    pass
                if cancelled():
                    return
                self.made += 1
                yield TokenEvent(index, f"w{index} ", 0.5, 0.25)
        finally:
            self.stopped.set()

    def summarise(self, events: Sequence[TokenEvent]) -> Generation:
        text = "".join(event.text for event in events).strip()
        return Generation(text, 0.75, 0.25, len(events), finish_reason="length")


class Cloud:
    """The real server with a fake backend, in this event loop."""

    def __init__(self, desk: TurnDesk, app: CloudApp, url: str) -> None:
        self.desk, self.app, self.url = desk, app, url


@contextlib.asynccontextmanager
async def running_cloud(
    backend: FakeBackend | None = None,
    *,
    token: str | None = None,
    prices: Prices | None = None,
    limits: Limits | None = None,
    max_in_flight: int = 8,
    max_sessions: int = 8,
    monotonic_s: Callable[[], float] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Cloud]:
    clock = {} if monotonic_s is None else {"monotonic_s": monotonic_s}
    desk = TurnDesk(backend or FakeBackend(), prices=prices, limits=limits, max_in_flight=max_in_flight, **clock)
    app = CloudApp(desk, Access(token), max_sessions=max_sessions)
    async with listening(app.app, tls) as url:
        try:
            yield Cloud(desk, app, url)
        finally:
            if isinstance(desk.backend, FakeBackend):
                desk.backend.gate.set()
            await app.close()


@contextlib.asynccontextmanager
async def listening(app: web.Application, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve `app`; its URL. With `tls` by the name of localhost, as its certificate says."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        yield f"{'https://localhost' if tls else 'http://127.0.0.1'}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class RawClient:
    """The client's end of one WebSocket, frame by frame."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.numbering = Numbering()
        self.welcome: Welcome | None = None

    async def send(self, frame: Frame, stream: int = 1) -> None:
        await self.socket.send_bytes(encode_frame(self.numbering.stamp(frame, stream)))

    async def read(self) -> Frame:
        message = await self.socket.receive()
        if message.type != aiohttp.WSMsgType.BINARY:
            raise CloudError(f"closed with {self.socket.close_code}", code="closed")
        return decode_frame(message.data)

    async def closed_with(self) -> int | None:
        while (await self.socket.receive()).type == aiohttp.WSMsgType.BINARY:
            pass
        return self.socket.close_code

    async def ask(self, opening: TurnOpening, tensors: Sequence[EncodedTensor] = (), stream: int = 1) -> None:
        await self.send(opening.to_frame(), stream)
        for one in tensors:
            await self.send(TensorBegin.frame_of(one, one.tensor_id()), stream)
            await self.send(Frame(FrameType.TENSOR_CHUNK, payload=one.payload), stream)
            await self.send(Frame(FrameType.TENSOR_END), stream)

    async def until_end(self, stream: int = 1) -> list[Frame]:
        """Frames up to DONE or ERROR of `stream`."""
        frames = [await self.read()]
        while frames[-1].stream not in (stream, 0) or frames[-1].type not in (FrameType.DONE, FrameType.ERROR):
            frames.append(await self.read())
        return frames


@contextlib.asynccontextmanager
async def raw_client(url: str, *, greet: bool = True, device: str = "", **headers: str) -> AsyncIterator[RawClient]:
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(url + ENDPOINT, protocols=(SUBPROTOCOL,), headers=headers)
        client = RawClient(socket)
        if greet:
            await client.send(Hello(device=device).to_frame(), 0)
            frame = await client.read()
            client.numbering.session = frame.session
            client.welcome = Welcome.from_frame(frame)
        yield client
        await socket.close()


def tensor(tokens: int = 4, codec: str = "int8-zstd", encoder_id: str = ENCODER, seed: int = 0) -> EncodedTensor:
    data = np.random.default_rng(seed).normal(size=(tokens, HIDDEN)).astype(np.float32)
    return find_codec(codec).encode(Embeddings(data, encoder_id))


def request(question: str = "what is it?", **changes: object) -> TurnRequest:
    values: dict[str, object] = {
        "question": question,
        "tensors": (tensor(),),
        "turn_id": uuid7(1_700_000_000_000),
        "deadline_ms": 10_000,
    }
    return TurnRequest(**(values | changes))  # type: ignore[arg-type]


def opening(
    tensors: Sequence[EncodedTensor] = (),
    question: str = "what is it?",
    *,
    tensor_ids: Sequence[str] = (),
    **changes: object,
) -> TurnOpening:
    values: dict[str, object] = {
        "turn_id": uuid7(1_700_000_000_000),
        "question": question,
        "tensors": tuple(tensor_ids) or tuple(one.tensor_id() for one in tensors),
        "deadline_ms": 10_000,
        "max_tokens": 16,
    }
    return TurnOpening(**(values | changes))  # type: ignore[arg-type]


async def asked(client: CloudClient, turn: TurnRequest) -> tuple[str, TurnResult]:
    """The whole answer of one turn."""
    text, result = "", None
    async with contextlib.aclosing(client.turn(turn)) as items:
        async for item in items:
            if isinstance(item, TurnResult):
                assert result is None
                result = item
            else:
                assert result is None
                text += item.text
    assert result is not None
    return text.strip(), result


async def until(holds: Callable[[], object]) -> None:
    """Wait for something in another task or thread; pytest's timeout bounds it."""
    while not holds():  # noqa: ASYNC110 - what is waited for knows nothing of this loop
        await asyncio.sleep(0.005)
