"""The device's own model behind the engine seam: blocking inference in one worker thread, tokens as they come."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol

from edge_agent.clock import Clock
from edge_agent.engines.base import Detail, Query
from edge_agent.engines.looking import LastLook
from edge_agent.engines.upload import PROJECTED, REFILLED, Coding
from edge_agent.errors import ModelError
from edge_agent.transport.codecs import PICTURE_CODECS, learned_codecs
from edge_agent.transport.projected import projected_codecs
from edge_agent.transport.refilled import SHARE, Refilled
from edge_agent.transport.shipped import register_shipped
from edge_agent.types import (
    AudioWindow,
    Decision,
    Embeddings,
    EmbeddingSizes,
    Frame,
    Generation,
    Modality,
    TokenEvent,
)
from edge_agent.vlm import AudioEncoder, Bundle, Generator, open_vision, summarise


class Model(Protocol):
    """What the engine needs of a model: embeddings of picture and sound, tokens of a question, their summary.

    `grid` is (rows, columns) of a picture's detail views, None if it has none.
    """

    sizes: EmbeddingSizes
    grid: tuple[int, int] | None
    tokenizer_id: str

    def look(self, frame: Frame) -> tuple[Embeddings, ...]: ...

    def encode_tiles(self, frame: Frame) -> Iterator[Embeddings]: ...

    def encode_sound(self, sound: AudioWindow) -> Embeddings: ...

    def stream(self, query: Query, cancelled: threading.Event) -> Iterator[TokenEvent]: ...

    def summarise(self, tokens: list[TokenEvent], question: str) -> Generation: ...

    def prompt_tokens(self, query: Query) -> int: ...


class BundleModel:
    """A shipped or pulled bundle as a Model. Opening it verifies every file; see edge_agent.vlm. A further question
    about the last picture finds it encoded.

    `encoder` is what runs its vision encoder: "onnx", "litert" or "litert-int8"; `coding` what its `sizes` are of.
    """

    def __init__(self, bundle: Bundle, threads: int, encoder: str = "onnx", coding: Coding | None = None) -> None:
        self._bundle = bundle
        vision = open_vision(bundle, threads, encoder)
        self._eyes = LastLook(vision.look, vision.encode_tiles)
        self._generator = Generator(bundle, threads=threads)
        self._audio = AudioEncoder(bundle, threads=threads) if bundle.has_audio else None
        self._room = max(1, (bundle.context - bundle.layout.text_position) // 2)  # the other half is for the question
        self.sizes = embedding_sizes(bundle, coding)
        self.tokenizer_id = bundle.tokenizer_id
        detail = bundle.layout.detail
        self.grid = None if detail is None else (detail.rows, detail.columns)

    def look(self, frame: Frame) -> tuple[Embeddings, ...]:
        return self._eyes.look(frame.pixels)

    def encode_tiles(self, frame: Frame) -> Iterator[Embeddings]:
        return self._eyes.tiles(frame.pixels)

    def encode_sound(self, sound: AudioWindow) -> Embeddings:
        if self._audio is None:
            raise ModelError(f"{self._bundle.name} has no audio encoder", "ask about a picture")
        return self._audio.encode(sound)

    def stream(self, query: Query, cancelled: threading.Event) -> Iterator[TokenEvent]:
        return self._generator.stream(
            query.embeddings,
            query.question,
            history=query.history,
            max_new_tokens=min(query.max_new_tokens, self._room),
            choice=query.manner.choice,
            stop=query.manner.stop,
            schema=query.manner.schema,
            cancelled=cancelled.is_set,
        )

    def summarise(self, tokens: list[TokenEvent], question: str) -> Generation:
        return summarise(tokens, self._bundle.calibration, question)

    def prompt_tokens(self, query: Query) -> int:
        """How many tokens the decoder reads of a question that it has answered."""
        most = min(query.max_new_tokens, self._room)
        return self._generator.prompt(query.embeddings, query.question, query.history, most).rows


def embedding_sizes(bundle: Bundle, coding: Coding | None = None) -> EmbeddingSizes:
    """Bytes of a bundle's coded embeddings: before zstd, or the mean of the training pictures in a basis. The bundle's
    bases become codecs of this process. Raises ModelError for a damaged one.
    """
    coding = coding or Coding()
    register_shipped(bundle.codec_files)
    sound = bundle.layout.sound if bundle.has_audio else None
    refills = coding.codec_id == REFILLED and bool(learned_codecs(Refilled, bundle.encoder_id))
    int4 = coding.codec_id == "int4-zstd" or refills
    token_bytes = 4 + ((bundle.hidden_size + 1) // 2 if int4 else bundle.hidden_size)
    view_bytes, views = bundle.tokens_per_image * token_bytes, bundle.layout.views_per_image
    if refills:
        view_bytes = round(view_bytes * SHARE)
    if coding.codec_id in PICTURE_CODECS:
        view_bytes, views = coding.pictures.expected_bytes(coding.codec_id), 1
    sound_bytes = None if sound is None else sound.tokens * token_bytes
    if coding.codec_id == PROJECTED:
        view_bytes = min([view_bytes, *_projected_bytes(bundle.encoder_id, coding.level)])
        if sound_bytes is not None:
            sound_bytes = min([sound_bytes, *_projected_bytes(bundle.audio_encoder_id, coding.level)])
    return EmbeddingSizes(view_bytes=view_bytes, views=views, sound_bytes=sound_bytes)


def _projected_bytes(encoder_id: str, level: int) -> list[int]:
    """What a view, or a sound, of that encoder takes in each basis that is known here."""
    return [codec.at(level).view_bytes for codec in projected_codecs(encoder_id)]


class LocalEngine:
    """Encodes and answers on the device. One worker thread: a board has no cores to spare for two answers at once."""

    name = "local"
    sends_pictures = False

    def __init__(self, model: Model, clock: Clock) -> None:
        self.model = model
        self._clock = clock
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")

    async def encode(self, frame: Frame) -> tuple[Embeddings, ...]:
        """What the model reads of one picture; the event loop stays free meanwhile. Raises ModelError."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.model.look, frame)

    async def encode_sound(self, sound: AudioWindow) -> Embeddings:
        """The embeddings of one stretch of sound, likewise."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.model.encode_sound, sound)

    @property
    def encodable(self) -> tuple[Modality, ...]:
        """What this engine can make embeddings of."""
        hears = self.model.sizes.sound_bytes is not None
        return (Modality.IMAGE, Modality.AUDIO) if hears else (Modality.IMAGE,)

    def detail(self, frame: Frame) -> Detail | None:
        """How to make the detail views of a picture; None if the model has none. Nothing is encoded yet."""
        if self.model.grid is None:
            return None

        async def encode() -> tuple[Embeddings, ...]:
            loop, made = asyncio.get_running_loop(), []
            tiles = self.model.encode_tiles(frame)
            while (tile := await loop.run_in_executor(self._worker, next, tiles, None)) is not None:
                made.append(tile)  # one after the other: who gives up waits for one tile at most
            return tuple(made)

        return Detail(*self.model.grid, encode)

    @property
    def tokenizer_id(self) -> str:
        """Names what its token ids mean."""
        return self.model.tokenizer_id

    def draft(self, query: Query) -> AsyncGenerator[TokenEvent, None]:
        """The tokens of its own answer, for the cloud to check. Closing it ends the work within one token."""
        return self._tokens(query)

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
        made = self.model.summarise(tokens, query.question)
        stopped = bool(query.manner.stop) and made.tokens < query.max_new_tokens  # by its words, not its length
        yield replace(
            made,
            finish_reason="stop" if stopped else made.finish_reason,
            prompt_tokens=self.model.prompt_tokens(query),
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
