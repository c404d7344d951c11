"""A small basis that is made of fixed numbers: for tests of the codec `projected`.

python tests/support/bases.py > tests/golden/codecs_VERSION.json    at a new release; stored ones are never changed
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

import eap1
from edge_agent.transport.basis import MAGIC, parse_basis
from edge_agent.transport.codecs import Int4Zstd, decode_tensor, register_codec
from edge_agent.transport.limits import Limits
from edge_agent.transport.projected import Projected
from edge_agent.types import F32, Embeddings

ENCODER = "golden-encoder"
TOKENS, HIDDEN = 6, 8
GROUPS = ((0, 2, 2, 8), (4, 1, 2, 3))
NAMES = ("first", "rows", "columns", "kept")
TABLES = 4


def basis_bytes(**changes: Any) -> bytes:
    """The file, with changes to its header: transforms that turn and mirror, and tables of all kinds."""
    places = sum(rows * columns * kept for _, rows, columns, kept in GROUPS)
    header = {
        "format": 1,
        "encoder_id": ENCODER,
        "tokens": TOKENS,
        "hidden": HIDDEN,
        "groups": [dict(zip(NAMES, group, strict=True)) for group in GROUPS],
        "levels": [
            {"step": step, "rounding": 0.5, "bytes": 40, "places": places, "tables": TABLES} for step in (0.0625, 0.5)
        ],
    }
    text = json.dumps(header | changes, sort_keys=True).encode()
    parts = [MAGIC, len(text).to_bytes(4, "little"), text]
    for _, rows, columns, kept in GROUPS:
        count = rows * columns
        analysis = np.eye(HIDDEN)[:, ::-1][:, :kept]
        arrays = (
            (np.arange(count * HIDDEN).reshape(count, HIDDEN) % 3 / 4, "<f2"),
            (turn(rows), "<f4"),
            (turn(columns), "<f4"),
            (analysis, "<f2"),
            (analysis.T, "<f2"),
            (np.full((count, kept), 2.0), "<f4"),
        )
        parts += [np.ascontiguousarray(array).astype(dtype).tobytes() for array, dtype in arrays]
    for _ in header["levels"]:
        counts = np.full((TABLES, 32), 16)
        counts[:, 0] = 8192 - 31 * 16
        centroids = np.tile(np.arange(16) + 0.125, (TABLES, 1))
        parts += [np.arange(places).astype("<u4").tobytes(), (np.arange(places) % TABLES).astype("|u1").tobytes()]
        parts += [np.array([0, 0, 1, 8], "|u1").tobytes(), counts.astype("<u2").tobytes()]
        parts.append(centroids.astype("<f4").tobytes())
    return b"".join(parts)


def turn(size: int) -> Any:
    """[size, size], 1 or 2: orthonormal."""
    return np.array([[0.6, 0.8], [-0.8, 0.6]]) if size == 2 else np.eye(1)


def embeddings(seed: int = 0, encoder_id: str = ENCODER, views: int = 1) -> Embeddings:
    """[6 * views, 8] of multiples of 3/64."""
    values = np.random.default_rng(seed).integers(-64, 65, (views * TOKENS, HIDDEN)).astype(np.float32)
    data: F32 = values * np.float32(3 / 64)
    return Embeddings(data, encoder_id)


def golden() -> dict[str, Any]:
    """What tests/golden/codecs_0_1_0.json holds; of int4-zstd also the body before zstd, which all versions share."""
    codec = Projected(parse_basis(basis_bytes()))
    register_codec(codec)
    made = {f"projected {level}": codec.at(level).encode(embeddings(7, views=2)) for level in (0, 1)}
    made["int4-zstd"] = Int4Zstd().encode(Embeddings(eap1.data(), ENCODER))
    stored = {}
    for name, tensor in made.items():
        decoded = decode_tensor(tensor, Limits()).data.tobytes().hex()
        stored[name] = tensor.description() | {"payload": tensor.payload.hex(), "tensor_id": tensor.tensor_id()}
        stored[name]["decoded"] = decoded
    return {"basis": basis_bytes().hex(), "int4_body": Int4Zstd().quantise(eap1.data()).hex(), "tensors": stored}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(golden(), indent=1, sort_keys=True) + "\n")
