"""Small stand-ins for what codecs have learned, of fixed numbers: for tests of the codecs `refilled` and `changes`.

python tests/support/learned.py > tests/golden/codecs_learned.json    at a new release; stored ones are never changed
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import numpy as np
import zstandard

import bases
from edge_agent.transport.basis import parse_basis
from edge_agent.transport.changes import CONTEXTS, SETS, Changes, changes_bytes, parse_changes
from edge_agent.transport.codecs import EncodedTensor, decode_tensor, register_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import Projected
from edge_agent.transport.refilled import Refilled, medians_bytes, parse_medians
from edge_agent.types import Embeddings


def medians() -> bytes:
    """The file of medians [6, 8]: quarters."""
    values = np.arange(bases.TOKENS * bases.HIDDEN).reshape(bases.TOKENS, bases.HIDDEN) % 5 / 4
    return medians_bytes(bases.ENCODER, values.astype(np.float32))


def changes() -> bytes:
    """The file of what was learned of changes in the small basis: two kinds, tables of all kinds."""
    kinds, levels = 2, []
    for _ in parse_basis(bases.basis_bytes()).levels:
        counts = np.full((SETS, kinds, CONTEXTS, 32), 16)
        counts[..., 0] = 8192 - 31 * 16
        counts[1:, :, 0, 1] += 500
        counts[1:, :, 0, 0] -= 500
        shifts = np.arange(SETS * kinds * CONTEXTS).reshape(SETS, kinds, CONTEXTS) % 5
        shifts[:3] = 0
        margins = np.full((kinds, CONTEXTS), 0.75) + np.arange(CONTEXTS) / 8
        of_class = np.arange(bases.TABLES) % kinds
        edges = [0.1, 0.3, 0.6]
        levels.append({"kinds": of_class, "margins": margins, "edges": edges, "shifts": shifts, "counts": counts})
    return changes_bytes(bases.ENCODER, parse_basis(bases.basis_bytes()).basis_id, levels)


def changes_codec() -> Changes:
    """The codec of that file, known to this process as its basis is."""
    projected = Projected(parse_basis(bases.basis_bytes()))
    codec = Changes(parse_changes(changes(), projected), projected)
    register_codec(projected)
    register_codec(codec)
    return codec


def after(before: Embeddings, seed: int = 0, share: float = 0.1) -> Embeddings:
    """Embeddings of which a share of values became others, by multiples of 3/64."""
    rng = np.random.default_rng(seed)
    moved = rng.integers(-40, 41, before.data.shape) * (rng.random(before.data.shape) < share)
    return dataclasses.replace(before, data=before.data + moved.astype(np.float32) * np.float32(3 / 64))


def before_zstd(tensor: EncodedTensor) -> str:
    """The marks and the body of a refilled tensor, which every version of zstd gives back."""
    size = -(-tensor.shape[0] // 8)
    body = zstandard.ZstdDecompressor().decompress(tensor.payload[size:])
    return tensor.payload[:size].hex() + body.hex()


def golden() -> dict[str, Any]:
    """What tests/golden/codecs_learned.json holds."""
    codec = Refilled(parse_medians(medians()))
    register_codec(codec)
    tensor = codec.encode(bases.embeddings(7, views=2))
    stored = tensor.description() | {"payload": tensor.payload.hex(), "tensor_id": tensor.tensor_id()}
    stored["decoded"] = decode_tensor(tensor, Limits()).data.tobytes().hex()
    tensors = {"refilled": stored}
    told = changes_codec()
    for level in (0, 1):
        before = bases.embeddings(7, views=5)
        base = told.projected.at(level).encode(before)
        made = told.change(after(before), base, level)
        assert made is not None
        kept = {"payload": made.payload.hex(), "tensor_id": made.tensor_id(), "base": base.payload.hex()}
        tensors[f"changes {level}"] = made.description() | kept
    return {
        "medians": medians().hex(),
        "changes": changes().hex(),
        "refilled_body": before_zstd(tensor),
        "tensors": tensors,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(golden(), indent=1, sort_keys=True) + "\n")
