"""The language decoder: embeddings in, logits of the next token out, with the key-value cache in between."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import ModelError
from edge_agent.types import F32
from edge_agent.vlm.bundle import DECODER, EMBED, Bundle
from edge_agent.vlm.manifest import VERIFY
from edge_agent.vlm.session import Node, open_session, run

_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")


class Decoder:
    """The two text graphs of a bundle. Holds no state of a question: that is KeyValueCache."""

    def __init__(self, bundle: Bundle, threads: int = 1) -> None:
        self._embed = open_session(bundle.path / EMBED, threads)
        self._decode = open_session(bundle.path / DECODER, threads)
        self._inputs = {node.name for node in self._decode.get_inputs()}
        self._past = [node for node in self._decode.get_inputs() if _PAST.fullmatch(node.name)]
        self._outputs = ["logits", *(node.name.replace("past_key_values", "present") for node in self._past)]
        given = {node.name for node in self._decode.get_outputs()}
        if not self._past or not given.issuperset(self._outputs) or "inputs_embeds" not in self._inputs:
            raise ModelError(f"{bundle.path / DECODER} has not the inputs and outputs of a decoder", VERIFY)

    def embed(self, ids: list[int]) -> F32:
        """Token ids to [t, hidden] float32."""
        (made,) = run(
            self._embed, ["inputs_embeds"], {"input_ids": np.asarray([ids], dtype=np.int64)}, "the token embedding"
        )
        rows: F32 = made[0].astype(np.float32, copy=False)
        return rows

    def start(self) -> KeyValueCache:
        """An empty cache, for one question."""
        return KeyValueCache([_empty(node) for node in self._past])

    def step(self, embeds: F32, positions: list[int], cache: KeyValueCache) -> F32:
        """Reads `embeds` [t, hidden] at `positions`, appends to `cache`, gives the logits [vocab] after the last."""
        length = cache.length + len(positions)
        feeds: dict[str, NDArray[Any]] = {
            "inputs_embeds": embeds[None],  # [1, t, hidden]
            "attention_mask": np.ones((1, length), dtype=np.int64),
        }
        if "position_ids" in self._inputs:
            feeds["position_ids"] = np.asarray([positions], dtype=np.int64)
        feeds.update({node.name: pair for node, pair in zip(self._past, cache.tensors, strict=True)})
        made = run(self._decode, self._outputs, feeds, "the decoder")
        cache.tensors, cache.length = made[1:], length
        logits: F32 = made[0][0, -1].astype(np.float32, copy=False)  # [vocab]
        return logits


class KeyValueCache:
    """Keys and values of one question, [1, heads, length, head_dim] a tensor; thrown away after it, never reset."""

    def __init__(self, tensors: list[NDArray[Any]]) -> None:
        self.tensors = tensors
        self.length = 0


def _empty(node: Node) -> NDArray[Any]:
    """[1, heads, 0, head_dim] float32 for a `past_key_values` input of shape [b, heads, past, head_dim]."""
    heads, width = node.shape[1], node.shape[3]
    if not isinstance(heads, int) or not isinstance(width, int):
        raise ModelError(f"{node.name} does not say its number of heads and their width: {node.shape}", VERIFY)
    return np.zeros((1, heads, 0, width), dtype=np.float32)
