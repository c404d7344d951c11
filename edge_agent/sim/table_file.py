"""Reading and writing the measured table, one .npz of plain arrays; what does not fit is refused with a reason."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from dataclasses import fields, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.errors import InputError
from edge_agent.sim.table import CLOUD, EDGE, Column, MeasuredTable, Node, NodeColumns, Photos
from edge_agent.values import plain

VERSION = 1
MAX_UNPACKED_BYTES = 256 << 20
HINT = "make it anew with `python -m tools.measure_nodes`"
NODE_TYPES: dict[str, Any] = {
    "right": np.uint8,
    "answer": np.int32,
    "tokens": np.uint16,
    "bytes_up": np.int64,
    "bytes_down": np.int64,
}
PHOTO_TYPES: dict[str, Any] = {
    "name": np.str_,
    "source": np.uint8,
    "split": np.uint8,
    "width": np.int32,
    "height": np.int32,
    "tile_rows": np.int32,
    "tile_columns": np.int32,
    "tiles": np.uint8,
}
QUESTION_TYPES: dict[str, Any] = {"identity": np.int64, "photo": np.int32, "question": np.str_, "kind": np.uint8}
SHARES = ("right", "confidence", "entropy", "least_probability")
UNITS = {
    **dict.fromkeys(("encode_ms", "code_ms", "prefill_ms", "decode_ms", "features_ms"), "ms"),
    **dict.fromkeys(("bytes_up", "bytes_down"), "bytes"),
    **dict.fromkeys(SHARES, "share"),
    "entropy_bits": "bits",
    "tiles": "bits/31.875",
    "gain": "answers",
}


def shipped_table() -> MeasuredTable:
    """The table that travels with the package. Raises InputError where it is missing or does not fit."""
    with as_file(files("edge_agent") / "assets" / "nodes.npz") as path:
        return read_table(path)


def read_table(path: Path) -> MeasuredTable:
    """The table in `path`. Raises InputError naming file, column and row of what does not fit."""
    try:
        arrays = _arrays(path)
        return _Reader(str(path), arrays).table()
    except (OSError, ValueError, zipfile.BadZipFile, KeyError, EOFError, MemoryError) as error:
        raise InputError(f"{path} is no table of measured nodes ({error})", HINT) from error


def write_table(path: Path, table: MeasuredTable) -> None:
    """Write it so that the same table gives the same bytes. Raises OSError."""
    meta = {
        "version": VERSION,
        "units": UNITS,
        "sources": table.sources,
        "kinds": table.kinds,
        "answers": table.answers,
        "nodes": [plain(node) for node in table.nodes.values()],
        "provenance": dict(table.provenance),
    }
    arrays: dict[str, Column] = {"meta": np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype=np.uint8)}
    arrays |= {f"question/{name}": getattr(table, name) for name in QUESTION_TYPES}
    arrays |= {f"photo/{f.name}": getattr(table.photos, f.name) for f in fields(Photos)}
    for at, columns in enumerate(table.columns.values()):
        arrays |= {f"node{at}/{f.name}": getattr(columns, f.name) for f in fields(NodeColumns)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))  # no clock in the file
            info.compress_type = zipfile.ZIP_DEFLATED
            with out.open(info, "w") as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def merge(table: MeasuredTable, other: MeasuredTable) -> MeasuredTable:
    """`table` with the nodes of `other`, which were asked the same questions (in any order). Raises InputError."""
    at = {int(identity): index for index, identity in enumerate(other.identity)}
    missing = sum(int(identity) not in at for identity in table.identity)
    if missing:
        raise InputError(
            f"{missing} of {len(table)} questions were not put to the other nodes", "measure the same sets"
        )
    twice = sorted(set(table.nodes) & set(other.nodes))
    if twice:
        raise InputError(f"both tables have a node {twice[0]!r}", "give one of them another name")
    order = np.array([at[int(identity)] for identity in table.identity], dtype=np.int64)
    answers = list(table.answers) + [a for a in other.answers if a not in set(table.answers)]
    renumbered = np.array([answers.index(a) for a in other.answers], dtype=np.int32)
    added = {}
    for name, columns in other.columns.items():
        taken = {f.name: getattr(columns, f.name)[order] for f in fields(NodeColumns)}
        added[name] = NodeColumns(**taken | {"answer": renumbered[taken["answer"]]})
    return replace(
        table,
        answers=tuple(answers),
        nodes={**table.nodes, **other.nodes},
        columns={**table.columns, **added},
    )


def _arrays(path: Path) -> dict[str, Column]:
    """Every array of the file; their whole size is known before any is unpacked."""
    with zipfile.ZipFile(path) as packed:
        whole = sum(info.file_size for info in packed.infolist())
        if whole > MAX_UNPACKED_BYTES:
            raise ValueError(f"it unpacks to {whole} bytes, at most {MAX_UNPACKED_BYTES}")
        found = {}
        for info in packed.infolist():
            with packed.open(info) as member:
                found[info.filename.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
        return found


class _Reader:
    """Checks every array of one file on its way into a table."""

    def __init__(self, name: str, arrays: Mapping[str, Column]) -> None:
        self._name = name
        self._arrays = arrays
        self._meta = self._read_meta()

    def table(self) -> MeasuredTable:
        photos = self._photos()
        question = {name: self._column(f"question/{name}", kind) for name, kind in QUESTION_TYPES.items()}
        count = len(question["identity"])
        for name, column in question.items():
            self._length(f"question/{name}", column, count)
        sources, kinds, answers = (self._names(key) for key in ("sources", "kinds", "answers"))
        self._below("photo/source", photos.source, len(sources))
        self._below("question/photo", question["photo"], len(photos.name))
        self._below("question/kind", question["kind"], len(kinds))
        if len(np.unique(question["identity"])) != count:
            raise self._bad("a question stands in it twice")
        nodes = [self._node(raw) for raw in self._meta["nodes"]]
        columns = {node.name: self._node_columns(at, count, len(answers)) for at, node in enumerate(nodes)}
        if len(columns) != len(nodes) or not nodes:
            raise self._bad("it has no nodes, or two of one name")
        by_name = {node.name: node for node in nodes}
        provenance = dict(self._meta.get("provenance", {}))
        return MeasuredTable(
            sources, kinds, answers, photos, **question, nodes=by_name, columns=columns, provenance=provenance
        )

    def _read_meta(self) -> dict[str, Any]:
        if "meta" not in self._arrays:
            raise self._bad("it has no `meta`")
        try:
            meta = json.loads(bytes(self._arrays["meta"].astype(np.uint8)))
        except (ValueError, RecursionError) as error:
            raise self._bad(f"its `meta` is no JSON ({error})") from error
        if not isinstance(meta, dict) or not isinstance(meta.get("version"), int):
            raise self._bad("its `meta` gives no version")
        if meta["version"] != VERSION:
            raise self._bad(f"it has version {meta['version']}, this program reads version {VERSION}")
        if not isinstance(meta.get("nodes"), list):
            raise self._bad("its `meta` lists no nodes")
        said = meta.get("units")
        wrong = [n for n, unit in UNITS.items() if not isinstance(said, dict) or said.get(n) != unit]
        if wrong:
            unit = said.get(wrong[0]) if isinstance(said, dict) else None
            raise self._bad(f"column {wrong[0]} is in {unit!r} instead of {UNITS[wrong[0]]!r}")
        return meta

    def _photos(self) -> Photos:
        made = {f.name: self._column(f"photo/{f.name}", PHOTO_TYPES.get(f.name, np.float32)) for f in fields(Photos)}
        for name, column in made.items():
            if name != "tiles":
                self._length(f"photo/{name}", column, len(made["name"]))
        if int((made["tile_rows"].astype(np.int64) * made["tile_columns"]).sum()) != len(made["tiles"]):
            raise self._bad("photo/tiles does not hold as many tiles as the photos have")
        return Photos(**made)

    def _node_columns(self, at: int, count: int, answers: int) -> NodeColumns:
        made = {
            f.name: self._column(f"node{at}/{f.name}", NODE_TYPES.get(f.name, np.float32)) for f in fields(NodeColumns)
        }
        for name, column in made.items():
            self._length(f"node{at}/{name}", column, count)
            if name == "gain":
                self._range(f"node{at}/{name}", column, -1.0, 1.0)
            elif name in SHARES:
                self._range(f"node{at}/{name}", column, 0.0, 1.0)
        self._below(f"node{at}/answer", made["answer"], answers)
        return NodeColumns(**made)

    def _node(self, raw: Any) -> Node:
        known = {f.name: f for f in fields(Node)}
        if not isinstance(raw, dict):
            raise self._bad("a node is no object")
        missing = [n for n, f in known.items() if f.default is dataclasses.MISSING and n not in raw]
        if missing or set(raw) - set(known):
            raise self._bad(f"a node lacks {missing} or has unknown {sorted(set(raw) - set(known))}")
        for name, value in raw.items():
            if known[name].type == "str" and not isinstance(value, str):
                raise self._bad(f"{name} of a node is no text")
            if known[name].type != "str" and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise self._bad(f"{name} of a node is no number")
        if raw["place"] not in (EDGE, CLOUD):
            raise self._bad(f"node {raw['name']!r} is neither {EDGE} nor {CLOUD}")
        return Node(**raw)

    def _names(self, key: str) -> tuple[str, ...]:
        names = self._meta.get(key)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise self._bad(f"its `meta` lists no {key}")
        return tuple(names)

    def _column(self, name: str, kind: Any) -> Column:
        if name not in self._arrays:
            raise self._bad(f"column {name} is missing")
        column = self._arrays[name]
        if column.ndim != 1:
            raise self._bad(f"column {name} is no column")
        if kind is np.str_:
            if column.dtype.kind != "U":
                raise self._bad(f"column {name} holds {column.dtype} instead of text")
            return column
        if column.dtype.kind not in "iuf" or (kind is not np.float32 and column.dtype.kind == "f"):
            raise self._bad(f"column {name} holds {column.dtype}")
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise self._bad(
                f"column {name} holds NaN or infinity in row {int(np.flatnonzero(~np.isfinite(column))[0])}"
            )
        if name != "question/identity" and not name.endswith("/gain"):
            self._range(name, column, 0.0, np.inf)
        return column.astype(kind, copy=False)

    def _length(self, name: str, column: Column, count: int) -> None:
        if len(column) != count:
            raise self._bad(f"column {name} has {len(column)} rows instead of {count}")

    def _below(self, name: str, column: Column, count: int) -> None:
        self._range(name, column, 0, count - 1)

    def _range(self, name: str, column: Column, low: float, high: float) -> None:
        outside = np.flatnonzero((column < low) | (column > high))
        if len(outside):
            value = column[outside[0]]
            raise self._bad(f"column {name} has {value} in row {int(outside[0])}, outside {low:g} to {high:g}")

    def _bad(self, reason: str) -> InputError:
        return InputError(f"{self._name}: {reason}", HINT)
