"""A small basis that is made of fixed numbers: for tests of the codec `projected`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from edge_agent.transport.basis import MAGIC
from edge_agent.types import F32, Embeddings

ENCODER = "golden-encoder"
TOKENS, HIDDEN = 6, 8
GROUPS = ((0, 2, 2, 8), (4, 1, 2, 3))  # first, rows, columns, kept
TABLES = 4


def basis_bytes(**changes: Any) -> bytes:
    """The file, with changes to its header: transforms that turn and mirror, and tables of all kinds."""
    places = sum(rows * columns * kept for _, rows, columns, kept in GROUPS)
    header = {
        "format": 1,
        "encoder_id": ENCODER,
        "tokens": TOKENS,
        "hidden": HIDDEN,
        "groups": [dict(zip(("first", "rows", "columns", "kept"), group, strict=True)) for group in GROUPS],
        "levels": [{"step": step, "rounding": 0.5, "places": places, "tables": TABLES} for step in (0.0625, 0.5)],
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
