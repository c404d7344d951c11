"""What `bench vlm` measures: one model, one photo, one question, through our runtime and through plain ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import F32, U8, Embeddings, TokenEvent
from edge_agent.vlm import Bundle, Generator, VisionEncoder
from edge_agent.vlm.answering import FreeAnswer, Rules
from edge_agent.vlm.bundle import DECODER, EMBED, VISION
from edge_agent.vlm.choice import GREEDY, Picker
from edge_agent.vlm.decoder import KeyValueCache
from edge_agent.vlm.prompt import Prompt
from edge_agent.vlm.session import Session, array_of, open_session
from edge_agent.vlm.vision import preparation_of
from edge_agent.vlm.words import Words

QUESTION = "what is in the picture?"
TOKENS = 16


@dataclass(frozen=True, eq=False)
class Scene:
    """`photo` is [H, W, 3] uint8 BGR; `tokens` are decoded whatever they say, so that every answer is as long."""

    bundle: Bundle
    photo: U8
    threads: int
    tokens: int = TOKENS

    @cached_property
    def generator(self) -> Generator:
        return Generator(self.bundle, self.threads)

    @cached_property
    def vision(self) -> VisionEncoder | None:
        return VisionEncoder(self.bundle, self.threads) if self.bundle.has_vision else None

    @cached_property
    def seen(self) -> tuple[Embeddings, ...]:
        """The photo's embeddings; numbers of their size for a bundle that only reads them."""
        if self.vision is not None:
            return self.vision.look(self.photo)
        return numbers(self.bundle)

    @cached_property
    def prompt(self) -> Prompt:
        return self.generator.prompt(self.seen, QUESTION, (), self.tokens)

    def encode(self) -> object:
        """Photo to embeddings."""
        return self.vision.look(self.photo) if self.vision is not None else None

    def prefill(self) -> F32:
        """All of the prompt, nothing kept from before."""
        self.generator.forget()
        return self.generator.read(self.prompt)[0]

    def next_question(self) -> F32:
        """The prompt again: only its question is read."""
        return self.generator.read(self.prompt)[0]

    @cached_property
    def read(self) -> tuple[F32, KeyValueCache]:
        return self.generator.read(self.prompt)

    def decode(self) -> list[TokenEvent]:
        """`tokens` tokens behind the prompt, with their texts and probabilities."""
        rules = Rules(self.tokens, (), False, self.bundle.calibration.temperature)
        answer = FreeAnswer(rules, Picker(GREEDY), Words(self.generator.text))
        return list(self.generator.decode(answer, *self.read, self.prompt.next_position))

    def bare(self) -> None:
        """What `decode` runs, with the inputs of its graphs made beforehand: the sessions' own time. The cache goes
        from run to run as anybody would hand it on; the graph of embeddings is run only where `decode` runs it.
        """
        decoder = self.generator.decoder
        tensors = [array_of(one) for one in self.read[1].tensors]
        for ids, feeds in self.feeds:
            if decoder.embed.table is None:
                feeds["inputs_embeds"] = self.embed_session.run(["inputs_embeds"], ids)[0]
            past = dict(zip(decoder.past_names, tensors, strict=True))
            tensors = decoder.session.run(decoder.output_names, {**feeds, **past})[1:]

    @cached_property
    def embed_session(self) -> Session:
        return open_session(self.bundle.graph(EMBED), self.threads)

    @cached_property
    def feeds(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Token, its embedding, mask and position of each step of `decode`."""
        length, position = self.read[1].length, self.prompt.next_position
        return [
            (
                {"input_ids": np.asarray([[token]], dtype=np.int64)},
                {
                    "inputs_embeds": np.array(self.generator.decoder.embed([token])[None]),
                    "attention_mask": np.ones((1, length + at + 1), dtype=np.int64),
                    "position_ids": np.asarray([[position + at]], dtype=np.int64),
                },
            )
            for at, token in enumerate(self.ids[:-1])
        ]

    @cached_property
    def ids(self) -> list[int]:
        """The tokens that `decode` makes."""
        return [event.token_id for event in self.decode()]


def numbers(bundle: Bundle) -> tuple[Embeddings, ...]:
    """Embeddings of no picture, as large as those of all views of one."""
    shape = (bundle.tokens_per_image, bundle.hidden_size)
    views = range(bundle.layout.views_per_image)
    drawn = [np.random.default_rng(at).normal(size=shape).astype(np.float32) for at in views]
    return tuple(Embeddings(one, bundle.encoder_id) for one in drawn)


class Plain:
    """The same graphs as anybody would run them: default options but the threads, NumPy in and out.

    `prompt` is read, then `ids` are, one after the other.
    """

    def __init__(self, bundle: Bundle, photo: U8, threads: int, prompt: Prompt, ids: list[int]) -> None:
        self._photo, self._ids, self._next = photo, ids, prompt.next_position
        self._vision = _open(bundle, VISION, threads) if bundle.has_vision else None
        self._embed = _open(bundle, EMBED, threads)
        self._decode = _open(bundle, DECODER, threads)
        self._past = [node for node in self._decode.get_inputs() if node.name.startswith("past_key_values")]
        self._float = np.float16 if self._past[0].type == "tensor(float16)" else np.float32
        self._preparation = preparation_of(bundle) if bundle.has_vision else None
        rows, positions = zip(*(self._chunk(chunk) for chunk in prompt.chunks), strict=True)
        self._rows, self._positions = np.concatenate(rows), [at for part in positions for at in part]
        self._read: tuple[Any, list[NDArray[Any]]] | None = None

    def encode(self) -> object:
        """Photo to embeddings, view by view."""
        if self._vision is None or self._preparation is None:
            return None
        made = []
        for view in self._preparation.look(self._photo):
            mask = np.ones((1, 1, *view.pixels.shape[3:]), dtype=np.bool_)
            feeds = {"pixel_values": view.pixels.astype(self._float), "pixel_attention_mask": mask}
            made.append(self._vision.run(None, feeds)[0])
        return made

    def prefill(self) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        """All of the prompt in one run."""
        return self._step(self._rows, self._positions, self._empty(), 0)

    def decode(self) -> NDArray[Any]:
        """The tokens of the scene, the cache handed from run to run: graphs and nothing else."""
        if self._read is None:
            self._read = self.prefill()
        logits, past = self._read
        position, length = self._next, len(self._rows)
        for at, token in enumerate(self._ids[:-1]):
            logits, past = self._step(self._embedded([token]), [position + at], past, length + at)
        return logits

    def decode_without_cache(self) -> NDArray[Any]:
        """The same tokens, everything read again for each."""
        rows, positions = self._rows, list(self._positions)
        logits, _ = self._step(rows, positions, self._empty(), 0)
        for at, token in enumerate(self._ids[:-1]):
            rows = np.concatenate([rows, self._embedded([token])])
            positions.append(self._next + at)
            logits, _ = self._step(rows, positions, self._empty(), 0)
        return logits

    def _step(
        self, rows: NDArray[Any], positions: list[int], past: list[NDArray[Any]], length: int
    ) -> tuple[NDArray[Any], list[NDArray[Any]]]:
        feeds = {
            "inputs_embeds": rows[None].astype(self._float, copy=False),
            "attention_mask": np.ones((1, length + len(rows)), dtype=np.int64),
            "position_ids": np.asarray([positions], dtype=np.int64),
            **{node.name: one for node, one in zip(self._past, past, strict=True)},
        }
        logits, *present = self._decode.run(None, feeds)
        return logits, present

    def _empty(self) -> list[NDArray[Any]]:
        return [np.zeros((1, node.shape[1], 0, node.shape[3]), dtype=self._float) for node in self._past]

    def _chunk(self, chunk: Any) -> tuple[NDArray[Any], list[int]]:
        parts = [self._embedded(list(one.ids)) if one.data is None else one.data for one in chunk]
        return np.concatenate(parts), [at for one in chunk for at in one.positions]

    def _embedded(self, ids: list[int]) -> NDArray[Any]:
        made: NDArray[Any] = self._embed.run(None, {"input_ids": np.asarray([ids], dtype=np.int64)})[0][0]
        return made


def _open(bundle: Bundle, name: str, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(bundle.graph(name)), options, providers=["CPUExecutionProvider"])
