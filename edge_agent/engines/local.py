"""The device's own model behind the engine seam: blocking inference in one worker thread, tokens as they come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Protocol

from edge_agent.clock import Clock
from edge_agent.engines.base import Query
from edge_agent.types import Decision, Embeddings, Frame, Generation, TokenEvent
from edge_agent.vlm import Bundle, Generator, VisionEncoder, summarise


class Model(Protocol):
    """What the engine needs of a model: embeddings of a picture, tokens of a question, their summary."""

    encoder_id: str
    embedding_bytes: int

    def encode(self, frame: Frame) -> Embeddings: ...

    def stream(self, query: Query, cancelled: threading.Event) -> Iterator[TokenEvent]: ...

    def summarise(self, tokens: list[TokenEvent]) -> Generation: ...


class BundleModel:
    """A shipped or pulled bundle as a Model. Opening it verifies every file; see edge_agent.vlm."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._bundle = bundle
        self._vision = VisionEncoder(bundle, threads=threads)
        self._generator = Generator(bundle, threads=threads)
        self._room = max(1, (bundle.context - bundle.tokens_per_image) // 2)  # the other half is for the question
        self.encoder_id = bundle.encoder_id
        self.embedding_bytes = bundle.tokens_per_image * (bundle.hidden_size + 4)  # int8 and a float32 scale a token

    def encode(self, frame: Frame) -> Embeddings:
        return self._vision.encode(frame.pixels)

    def stream(self, query: Query, cancelled: threading.Event) -> Iterator[TokenEvent]:
        return self._generator.stream(
            query.embeddings,
            query.question,
            history=query.history,
            max_new_tokens=min(query.max_new_tokens, self._room),
            cancelled=cancelled.is_set,
        )

    def summarise(self, tokens: list[TokenEvent]) -> Generation:
        return summarise(tokens, self._bundle.calibration)


class LocalEngine:
    """Encodes and answers on the device. One worker thread: a board has no cores to spare for two answers at once."""

    name = "local"

    def __init__(self, model: Model, clock: Clock) -> None:
        self.model = model
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")

    async def encode(self, frame: Frame) -> Embeddings:
        """The embeddings of one picture; the event loop stays free meanwhile. Raises ModelError."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.model.encode, frame)

    async def generate(self, query: Query, decision: Decision) -> AsyncGenerator[TokenEvent | Generation, None]:
        """Stream the answer's tokens, then its Generation with the timings of this engine's clock."""
        started_s = self._clock.monotonic_s()
        first_s: float | None = None
        tokens: list[TokenEvent] = []
        async with aclosing(self._tokens(query)) as stream:
            async for token in stream:
                first_s = self._clock.monotonic_s() if first_s is None else first_s
                tokens.append(token)
                yield token
        ended_s = self._clock.monotonic_s()
        first_s = ended_s if first_s is None else first_s
        summary = self.model.summarise(tokens)
        yield Generation(
            text=summary.text,
            confidence=summary.confidence,
            max_entropy=summary.max_entropy,
            tokens=summary.tokens,
            finish_reason=summary.finish_reason,
            first_token_ms=(first_s - started_s) * 1000,
            decode_ms=(ended_s - first_s) * 1000,
        )

    async def close(self) -> None:
        """End the worker once its current token is done."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _tokens(self, query: Query) -> AsyncGenerator[TokenEvent, None]:
        """The worker's tokens on the event loop. At most `max_new_tokens` wait: the answer bounds the queue."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[TokenEvent | BaseException | None] = asyncio.Queue()
        cancelled = threading.Event()

        def put(item: TokenEvent | BaseException | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(queue.put_nowait, item)

        def work() -> None:
            try:
                for token in self.model.stream(query, cancelled):
                    put(token)
                put(None)
            except BaseException as error:  # noqa: BLE001 - carried to the awaiting side, which raises it
                put(error)

        future = self._worker.submit(work)
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            cancelled.set()
            future.cancel()
