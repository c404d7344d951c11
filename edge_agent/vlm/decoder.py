"""The language decoder: embeddings in, logits of the next token out, with the key-value cache in between."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ModelError
from edge_agent.types import F32
from edge_agent.vlm.bundle import DECODER, Bundle
from edge_agent.vlm.embedding import TokenEmbedding
from edge_agent.vlm.manifest import VERIFY, verify_hint
from edge_agent.vlm.session import ChainedRuns, Node, Value, array_of, check_nodes, dtype_of, open_session

I64 = NDArray[np.int64]
_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")


class KeyValueCache(NamedTuple):
    """Keys and values of what was read so far, [b, heads, length, head_dim] a tensor, where the provider left them.

    Never written to: reading on gives a new one, so that any number of questions can go on from the same.
    """

    tensors: tuple[Value, ...]
    length: int


class Decoder:
    """The two text graphs of a bundle. Holds no state of a question: that is KeyValueCache."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        path = bundle.graph(DECODER)
        self.embed = TokenEmbedding(bundle, threads)
        self.session = open_session(path, threads, bundle.providers)
        inputs = {node.name: node for node in self.session.get_inputs()}
        self._past = [node for name, node in inputs.items() if _PAST.fullmatch(name)]
        self.past_names = [node.name for node in self._past]
        self.output_names = ["logits", *(name.replace("past_key_values", "present") for name in self.past_names)]
        nodes = check_nodes(self.session, path, ("inputs_embeds", "attention_mask"), self.output_names)
        if not self._past:
            raise ModelError(f"{path} has no past_key_values: it is no merged decoder", verify_hint(bundle.path))
        made = nodes["logits"].shape[-1]
        if isinstance(made, int) and made != bundle.vocab_size:
            words = f"{path} gives {made} logits, config.json has a vocabulary of {bundle.vocab_size}"
            raise ModelError(words, verify_hint(bundle.path))
        self._float = dtype_of(inputs["inputs_embeds"])
        self._positions = "position_ids" in inputs
        self._ones: I64 = np.ones((1, bundle.context), dtype=np.int64)
        self._places: I64 = np.arange(bundle.context, dtype=np.int64)[None]  # [1, context]
        table = self.embed.table
        self._table = table[None] if table is not None and self._float is np.float32 else None  # [1, vocab, hidden]
        self._runs = ChainedRuns(self.session, self.output_names, self.past_names, "the decoder")

    def start(self, count: int = 1) -> KeyValueCache:
        """An empty cache, for `count` questions side by side."""
        return KeyValueCache(tuple(_empty(node, count) for node in self._past), 0)

    def step(self, embeds: F32, positions: Sequence[int], cache: KeyValueCache) -> tuple[F32, KeyValueCache]:
        """Reads `embeds` [t, hidden] at `positions` behind `cache`: logits [vocab] after the last, the longer cache."""
        length = cache.length + len(positions)
        mask = self._ones[:, :length] if length <= self._ones.shape[1] else np.ones((1, length), dtype=np.int64)
        rows, longer = self.read(embeds[None], self._at(positions), mask, cache)
        last: F32 = rows[0, -1].astype(np.float32, copy=False)  # [vocab]
        return last, longer

    def next(self, token: int, position: int, cache: KeyValueCache) -> tuple[F32, KeyValueCache]:
        """The same for one token. Between two tokens nothing is made that is there already: table, mask and positions
        are looked at where they lie.
        """
        length = cache.length + 1
        if self._table is None or length > self._ones.shape[1] or position >= self._ones.shape[1]:
            return self.step(self.embed([token]), range(position, position + 1), cache)
        feeds: dict[str, NDArray[Any]] = {
            "inputs_embeds": self._table[:, token : token + 1],
            "attention_mask": self._ones[:, :length],
        }
        if self._positions:
            feeds["position_ids"] = self._places[:, position : position + 1]
        rows, present = self._runs.run(feeds, cache.tensors)
        return rows[0, 0], KeyValueCache(present, length)

    def step_all(
        self, embeds: F32, positions: I64, mask: I64, cache: KeyValueCache, lengths: list[int] | None = None
    ) -> tuple[F32, KeyValueCache]:
        """The same for b questions: `embeds` [b, t, hidden], `positions` [b, t], `mask` [b, past + t] with 0 where a
        question has no row; logits [b, vocab] after the last row of each, or after its first `lengths` [b] rows.
        """
        rows, longer = self.read(embeds, positions, mask, cache)  # [b, t, vocab]
        chosen = rows[:, -1] if lengths is None else rows[np.arange(len(lengths)), np.array(lengths) - 1]
        last: F32 = chosen.astype(np.float32, copy=False)  # [b, vocab]
        return last, longer

    def read(self, embeds: F32, positions: I64, mask: I64, cache: KeyValueCache) -> tuple[NDArray[Any], KeyValueCache]:
        """All logits [b, t, vocab], and the longer cache."""
        feeds: dict[str, NDArray[Any]] = {
            "inputs_embeds": np.ascontiguousarray(embeds, dtype=self._float),
            "attention_mask": mask,
        }
        if self._positions:
            feeds["position_ids"] = positions
        rows, present = self._runs.run(feeds, cache.tensors)
        return rows, KeyValueCache(present, cache.length + positions.shape[1])

    def _at(self, positions: Sequence[int]) -> I64:
        """[1, t]; for a range within the context a part of one array."""
        if isinstance(positions, range) and positions.stop <= self._places.shape[1]:
            return self._places[:, positions.start : positions.stop]
        return np.asarray([positions], dtype=np.int64)

    def spread(self, cache: KeyValueCache, count: int) -> KeyValueCache:
        """The cache of one question, `count` times side by side."""
        return KeyValueCache(tuple(np.repeat(array_of(one), count, axis=0) for one in cache.tensors), cache.length)

    def chosen(self, cache: KeyValueCache, rows: list[int]) -> KeyValueCache:
        """Only those `rows` of the questions side by side."""
        return KeyValueCache(tuple(array_of(one)[rows] for one in cache.tensors), cache.length)


def _empty(node: Node, count: int) -> NDArray[Any]:
    """[count, heads, 0, head_dim] for a `past_key_values` input of shape [b, heads, past, head_dim]."""
    heads, width = node.shape[1], node.shape[3]
    if not isinstance(heads, int) or not isinstance(width, int):
        raise ModelError(f"{node.name} does not say its number of heads and their width: {node.shape}", VERIFY)
    return np.zeros((count, heads, 0, width), dtype=dtype_of(node))
