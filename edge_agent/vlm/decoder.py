"""The language decoder: embeddings in, logits of the next token out, with the key-value cache in between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ModelError
from edge_agent.types import F32
from edge_agent.vlm.bundle import DECODER, EMBED, Bundle
from edge_agent.vlm.manifest import VERIFY
from edge_agent.vlm.session import Node, Value, bound_run, check_nodes, dtype_of, open_session, run, values_of

I64 = NDArray[np.int64]
_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")


@dataclass(frozen=True, slots=True)
class KeyValueCache:
    """Keys and values of what was read so far, [b, heads, length, head_dim] a tensor, where the provider left them.

    Never written to: reading on gives a new one, so that any number of questions can go on from the same.
    """

    tensors: tuple[Value, ...]
    length: int


class Decoder:
    """The two text graphs of a bundle. Holds no state of a question: that is KeyValueCache."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self._embed = open_session(bundle.graph(EMBED), threads, bundle.providers)
        self._decode = open_session(bundle.graph(DECODER), threads, bundle.providers)
        self._inputs = {node.name: node for node in self._decode.get_inputs()}
        self._past = [node for node in self._decode.get_inputs() if _PAST.fullmatch(node.name)]
        self._outputs = ["logits", *(node.name.replace("past_key_values", "present") for node in self._past)]
        check_nodes(self._embed, bundle.graph(EMBED), ("input_ids",), ("inputs_embeds",))
        nodes = check_nodes(self._decode, bundle.graph(DECODER), ("inputs_embeds", "attention_mask"), self._outputs)
        if not self._past:
            raise ModelError(f"{bundle.graph(DECODER)} has no past_key_values: it is no merged decoder", VERIFY)
        self._check_sizes(bundle, nodes["logits"])
        self._float = dtype_of(self._inputs["inputs_embeds"])

    def _check_sizes(self, bundle: Bundle, logits: Node) -> None:
        """Raises ModelError where embedding table, decoder and config.json are of different models."""
        size, width = bundle.vocab_size, bundle.hidden_size
        if isinstance(logits.shape[-1], int) and logits.shape[-1] != size:
            words = f"{bundle.graph(DECODER)} gives {logits.shape[-1]} logits, config.json has a vocabulary of {size}"
            raise ModelError(words, VERIFY)
        try:
            found = self.embed([size - 1]).shape[1]
        except ModelError as error:
            raise ModelError(f"{bundle.graph(EMBED)} has fewer than the {size} rows of config.json", VERIFY) from error
        if found != width:
            raise ModelError(f"{bundle.graph(EMBED)} is {found} wide, the model {width}", VERIFY)

    def embed(self, ids: list[int]) -> F32:
        """Token ids to [t, hidden] float32."""
        (made,) = run(
            self._embed, ["inputs_embeds"], {"input_ids": np.asarray([ids], dtype=np.int64)}, "the token embedding"
        )
        rows: F32 = made[0].astype(np.float32, copy=False)
        return rows

    def start(self, count: int = 1) -> KeyValueCache:
        """An empty cache, for `count` questions side by side."""
        return KeyValueCache(tuple(values_of([_empty(node, count) for node in self._past])), 0)

    def step(self, embeds: F32, positions: list[int], cache: KeyValueCache) -> tuple[F32, KeyValueCache]:
        """Reads `embeds` [t, hidden] at `positions` behind `cache`: logits [vocab] after the last, the longer cache."""
        mask = np.ones((1, cache.length + len(positions)), dtype=np.int64)
        logits, longer = self.step_all(embeds[None], np.asarray([positions], dtype=np.int64), mask, cache)
        return logits[0], longer

    def step_all(
        self, embeds: F32, positions: I64, mask: I64, cache: KeyValueCache, lengths: list[int] | None = None
    ) -> tuple[F32, KeyValueCache]:
        """The same for b questions: `embeds` [b, t, hidden], `positions` [b, t], `mask` [b, past + t] with 0 where a
        question has no row; logits [b, vocab] after the last row of each, or after its first `lengths` [b] rows.
        """
        feeds: dict[str, NDArray[Any]] = {
            "inputs_embeds": np.ascontiguousarray(embeds, dtype=self._float),
            "attention_mask": mask,
        }
        if "position_ids" in self._inputs:
            feeds["position_ids"] = positions
        past = {node.name: value for node, value in zip(self._past, cache.tensors, strict=True)}
        logits, *present = bound_run(self._decode, self._outputs, feeds, past, "the decoder")
        rows = logits.numpy()  # [b, t, vocab]
        chosen = rows[:, -1] if lengths is None else rows[np.arange(len(lengths)), np.array(lengths) - 1]
        last: F32 = chosen.astype(np.float32, copy=False)  # [b, vocab]
        return last, KeyValueCache(tuple(present), cache.length + int(positions.shape[1]))

    def spread(self, cache: KeyValueCache, count: int) -> KeyValueCache:
        """The cache of one question, `count` times side by side."""
        return KeyValueCache(
            tuple(values_of([np.repeat(one.numpy(), count, axis=0) for one in cache.tensors])), cache.length
        )

    def chosen(self, cache: KeyValueCache, rows: list[int]) -> KeyValueCache:
        """Only those `rows` of the questions side by side."""
        return KeyValueCache(tuple(values_of([one.numpy()[rows] for one in cache.tensors])), cache.length)


def _empty(node: Node, count: int) -> NDArray[Any]:
    """[count, heads, 0, head_dim] for a `past_key_values` input of shape [b, heads, past, head_dim]."""
    heads, width = node.shape[1], node.shape[3]
    if not isinstance(heads, int) or not isinstance(width, int):
        raise ModelError(f"{node.name} does not say its number of heads and their width: {node.shape}", VERIFY)
    return np.zeros((count, heads, 0, width), dtype=dtype_of(node))
