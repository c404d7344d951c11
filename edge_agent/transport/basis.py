"""The file of a basis: what the codec `projected` has learned from training pictures. Read here, written by training.

Little endian: 8 bytes `EAPBASIS`, u32 length of the header, the header (a JSON object), then arrays one after another,
packed: of each group, of `count` = rows x columns tokens, `mean` [count, hidden] float16, `down` [rows, rows] and
`across` [columns, columns] float32, `analysis` [hidden, kept] and `synthesis` [kept, hidden] float16, `scale` [count,
kept] float32; of each level `places` [places] uint32, `classes`
[places] uint8, `shifts` [tables] uint8, `counts` [tables, 32] uint16, `centroids` [tables, 16] float32. The header:
`format` 1, `encoder_id`, `tokens`, `hidden`, `groups` [{first, rows, columns, kept}], `levels` [{step, rounding, bytes,
places, tables}], coarse levels last; `bytes` is what a view takes, the mean of the training pictures.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import F32

MAGIC = b"EAPBASIS"
FORMAT = 1
SYMBOLS, MAGNITUDES, FREQUENCY_SUM = 32, 16, 8192

Arrays = dict[str, NDArray[Any]]


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


def group_arrays(hidden: int, rows: int, columns: int, kept: int) -> Mapping[str, tuple[str, tuple[int, ...]]]:
    """Name, dtype and shape of each array of a group, in the order of the file."""
    return {
        "mean": ("<f2", (rows * columns, hidden)),
        "down": ("<f4", (rows, rows)),
        "across": ("<f4", (columns, columns)),
        "analysis": ("<f2", (hidden, kept)),
        "synthesis": ("<f2", (kept, hidden)),
        "scale": ("<f4", (rows * columns, kept)),
    }


def level_arrays(places: int, tables: int) -> Mapping[str, tuple[str, tuple[int, ...]]]:
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
    length = int.from_bytes(data[8:12], "little")
    if data[:8] != MAGIC or len(data) < 12 + length:
        raise ValueError("it does not begin as one")
    header = json.loads(data[12 : 12 + length])
    if header["format"] != FORMAT:
        raise ValueError(f"it has format {header['format']}, this version reads format {FORMAT}")
    tokens, hidden = _size(header["tokens"], 4096), _size(header["hidden"], 8192)
    grids = [(_size(g["rows"], tokens), _size(g["columns"], tokens)) for g in header["groups"]]
    kept = [_size(g["kept"], hidden) for g in header["groups"]]
    if sum(rows * columns for rows, columns in grids) != tokens:
        raise ValueError("its groups are not all tokens")
    shapes = [group_arrays(hidden, *grid, k) for grid, k in zip(grids, kept, strict=True)]
    most = tokens * max(kept)
    shapes += [level_arrays(_size(one["places"], most), _size(one["tables"], 255)) for one in header["levels"]]
    arrays = list(packed_arrays(data, 12 + length, shapes))
    groups = [_group(raw, found) for raw, found in zip(header["groups"], arrays, strict=False)]
    scale = np.concatenate([found["scale"].ravel() for found in arrays[: len(groups)]])
    levels = [_level(raw, found, scale) for raw, found in zip(header["levels"], arrays[len(groups) :], strict=True)]
    digest = hashlib.sha256(data).hexdigest()[:16]
    return Basis(digest, str(header["encoder_id"]), tokens, hidden, groups, levels)


def _size(value: Any, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(f"a size is {value!r}, not 1 to {most}")
    return value


def packed_arrays(
    data: bytes, at: int, shapes: Sequence[Mapping[str, tuple[str, tuple[int, ...]]]]
) -> Iterator[Arrays]:
    """The arrays from `at` to the end, one dict of names, dtypes and shapes after the other. Raises ValueError where
    they are not all that is there.
    """
    total = at + sum(
        np.dtype(dtype).itemsize * int(np.prod(shape)) for part in shapes for dtype, shape in part.values()
    )
    if total != len(data):
        raise ValueError(f"it has {len(data)} bytes instead of {total}")
    for part in shapes:
        found: Arrays = {}
        for name, (dtype, shape) in part.items():
            count = int(np.prod(shape))
            found[name] = np.frombuffer(data, dtype, count, at).reshape(shape)
            at += count * np.dtype(dtype).itemsize
        yield found


def _group(raw: Mapping[str, Any], found: Arrays) -> dict[str, Any]:
    sizes = {name: int(raw[name]) for name in ("first", "rows", "columns", "kept")}
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
        "steps": np.float32(raw["step"]) * scale[places].astype(np.float32),
        "rounding": float(np.float32(raw["rounding"])),
        "bytes": _size(raw["bytes"], 1 << 20),
        "shifts": found["shifts"].astype(np.uint8),
        "starts": starts,
        "centroids": np.ascontiguousarray(found["centroids"], np.float32),
    }
