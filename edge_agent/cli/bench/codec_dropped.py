"""Pruning as a codec, measured and sent by nobody: tokens left out, filled in by what the other side has stored.

What the other side has is the mean token of each place, which a basis carries (`group.mean`, of training pictures). Of
a view the tokens farthest from it are kept, in int4; a bit a token says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_agent.transport.codecs import CODECS, EncodedTensor
from edge_agent.transport.projected import Projected
from edge_agent.types import F32, Embeddings

SHARES = (0.5, 0.25)
_INNER = CODECS["int4-zstd"]


@dataclass(slots=True)
class Refilled:
    """Keeps `share` of a view's tokens. `stored` [tokens, hidden] float32 stands in for the others; without it (all
    zeros) this is plain pruning.
    """

    codec_id: str
    share: float
    stored: F32
    dtype: str = "int4"
    view_tokens: int | None = None

    def encode(self, embeddings: Embeddings) -> EncodedTensor:
        """One view: a bit a token, then the kept ones."""
        data = embeddings.data
        away = np.linalg.norm(data - self.stored, axis=1)  # [tokens]
        kept = np.sort(np.argsort(-away, kind="stable")[: max(1, round(self.share * len(data)))])
        mask = np.zeros(len(data), dtype=bool)
        mask[kept] = True
        inner = _INNER.encode(replace(embeddings, data=np.ascontiguousarray(data[kept])))
        return replace(inner, payload=np.packbits(mask).tobytes() + inner.payload)

    def decode(self, tensor: EncodedTensor) -> Embeddings:
        """The view, its kept tokens as they came and the stored ones elsewhere."""
        size = -(-len(self.stored) // 8)
        mask = np.unpackbits(np.frombuffer(tensor.payload[:size], dtype=np.uint8))[: len(self.stored)].astype(bool)
        kept = _INNER.decode(replace(tensor, payload=tensor.payload[size:]))
        data = self.stored.copy()
        data[mask] = kept.data
        return replace(kept, data=data)


def refilled(bases: Sequence[Projected]) -> dict[str, Refilled]:
    """The rows of `bench codec`, plain pruning beside each; none without a basis, whose means are what is stored."""
    found: dict[str, Refilled] = {}
    for codec in bases[:1]:
        stored = _means(codec)
        for share in SHARES:
            for end, means in (("-refilled", stored), ("", np.zeros_like(stored))):
                name = f"dropped-to-{round(100 * share)}{end}"
                found[name] = Refilled(name, share, means)
    return found


def _means(codec: Projected) -> F32:
    """[tokens, hidden] float32: the mean token of each place."""
    basis = codec.basis
    means = np.zeros((basis.tokens, basis.hidden), dtype=np.float32)
    for group in basis.groups:
        first, count = group["first"], len(group["mean"])
        means[first : first + count] = group["mean"]
    return means
