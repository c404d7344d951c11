"""The file of a basis: what the codec `projected` has learned from training pictures. Read here, written by training.

A file as `learned_file` says, `EAPBASIS`. Its arrays: of each group, of `count` = rows x columns tokens, `mean` [count,
hidden] float16, `down` [rows, rows] and `across` [columns, columns] float32, `analysis` [hidden, kept] and `synthesis`
[kept, hidden] float16, `scale` [count, kept] float32; of each level `places` [places] uint32, `classes` [places] uint8,
`shifts` [tables] uint8, `counts` [tables, 32] uint16, `centroids` [tables, 16] float32. The header: `format` 1,
`encoder_id`, `tokens`, `hidden`, `groups` [{first, rows, columns, kept}], `levels` [{step, rounding, bytes, places,
tables}], coarse levels last; `bytes` is what a view takes, the mean of the training pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_agent.transport.learned_file import (
    MOST_HIDDEN,
    MOST_TOKENS,
    Arrays,
    Shapes,
    file_id,
    number_of,
    packed_arrays,
    read_header,
    size_of,
)
from edge_agent.types import F32

MAGIC = b"EAPBASIS"
FORMAT = 1
SYMBOLS, MAGNITUDES, FREQUENCY_SUM = 32, 16, 8192


@dataclass(frozen=True, slots=True)
class Basis:
    """A basis as `edge_agent._core.Projection` takes it: its parts are float32 and packed. `basis_id` names every byte
    of its file.
    """

    basis_id: str
    encoder_id: str
    tokens: int
    hidden: int
    groups: list[dict[str, Any]] = field(repr=False)
    levels: list[dict[str, Any]] = field(repr=False)


def group_arrays(hidden: int, rows: int, columns: int, kept: int) -> Shapes:
    """Name, dtype and shape of each array of a group, in the order of the file."""
    return {
        "mean": ("<f2", (rows * columns, hidden)),
        "down": ("<f4", (rows, rows)),
        "across": ("<f4", (columns, columns)),
        "analysis": ("<f2", (hidden, kept)),
        "synthesis": ("<f2", (kept, hidden)),
        "scale": ("<f4", (rows * columns, kept)),
    }


def level_arrays(places: int, tables: int) -> Shapes:
    """Likewise of a level."""
    return {
        "places": ("<u4", (places,)),
        "classes": ("|u1", (places,)),
        "shifts": ("|u1", (tables,)),
        "counts": ("<u2", (tables, SYMBOLS)),
        "centroids": ("<f4", (tables, MAGNITUDES)),
    }


def parse_basis(data: bytes) -> Basis:
    """The basis in the bytes of its file. Raises ValueError, KeyError or TypeError."""
    header, at = read_header(data, MAGIC, FORMAT)
    tokens, hidden = size_of(header["tokens"], MOST_TOKENS), size_of(header["hidden"], MOST_HIDDEN)
    grids = [(size_of(g["rows"], tokens), size_of(g["columns"], tokens)) for g in header["groups"]]
    kept = [size_of(g["kept"], hidden) for g in header["groups"]]
    if sum(rows * columns for rows, columns in grids) != tokens:
        raise ValueError("its groups are not all tokens")
    shapes = [group_arrays(hidden, *grid, k) for grid, k in zip(grids, kept, strict=True)]
    most = tokens * max(kept)
    shapes += [level_arrays(size_of(one["places"], most), size_of(one["tables"], 255)) for one in header["levels"]]
    arrays = list(packed_arrays(data, at, shapes))
    groups = [_group(raw, found, tokens) for raw, found in zip(header["groups"], arrays, strict=False)]
    scale = np.concatenate([found["scale"].ravel() for found in arrays[: len(groups)]])
    levels = [_level(raw, found, scale) for raw, found in zip(header["levels"], arrays[len(groups) :], strict=True)]
    return Basis(file_id(data), str(header["encoder_id"]), tokens, hidden, groups, levels)


def _group(raw: Mapping[str, Any], found: Arrays, tokens: int) -> dict[str, Any]:
    sizes = {"first": size_of(raw["first"], tokens - 1, 0)} | {name: raw[name] for name in ("rows", "columns", "kept")}
    arrays = ("mean", "down", "across", "analysis", "synthesis")
    return sizes | {name: np.ascontiguousarray(found[name], np.float32) for name in arrays}


def _level(raw: Mapping[str, Any], found: Arrays, scale: F32) -> dict[str, Any]:
    places = found["places"].astype(np.uint32)
    if places.max() >= len(scale):
        raise ValueError("a place lies outside its groups")
    starts = np.zeros((len(found["counts"]), SYMBOLS + 1), np.uint32)
    np.cumsum(found["counts"], axis=1, out=starts[:, 1:])
    return {
        "places": places,
        "classes": found["classes"].astype(np.uint8),
        "steps": np.float32(number_of(raw["step"])) * scale[places].astype(np.float32),
        "rounding": float(np.float32(number_of(raw["rounding"]))),
        "bytes": size_of(raw["bytes"], 1 << 20),
        "shifts": found["shifts"].astype(np.uint8),
        "starts": starts,
        "centroids": np.ascontiguousarray(found["centroids"], np.float32),
    }
