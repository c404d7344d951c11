"""Packs measured photos into the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_agent.sim.table import Column, MeasuredTable, Node, NodeColumns, Photos
from edge_agent.sim.table_file import NODE_TYPES, PHOTO_TYPES
from tools.nodes.masking import masked
from tools.nodes.questions import identity

MEASURED = (
    "right",
    "answer",
    "confidence",
    "entropy",
    "least_probability",
    "gain",
    "tokens",
    "encode_ms",
    "code_ms",
    "prefill_ms",
    "decode_ms",
    "bytes_up",
    "bytes_down",
)


def pack(
    photos: Sequence[dict[str, Any]],
    nodes: Sequence[Node],
    scales: Mapping[str, Mapping[str, float]],
    prefix: str,
    facts: dict[str, Any],
) -> MeasuredTable:
    """The table of every measured photo, in order. `nodes` carry `prefix` before the names of their profiles; `scales`
    are factors a profile and stage.
    """
    sources = tuple(dict.fromkeys(p["source"] for p in photos))
    kinds = tuple(dict.fromkeys(kind for p in photos for kind in p["kinds"]))
    said = {row[1] for p in photos for rows in p["nodes"].values() for row in rows}
    answers = tuple(sorted(said))
    number = {answer: at for at, answer in enumerate(answers)}
    asked = [(at, p, i) for at, p in enumerate(photos) for i in range(len(p["questions"]))]
    columns = {}
    for node in nodes:
        profile = node.name.removeprefix(prefix)
        rows = [row for p in photos for row in p["nodes"][profile]]
        by_name: dict[str, Sequence[Any]] = dict(zip(MEASURED, zip(*rows, strict=True), strict=True))
        by_name["answer"] = [number[text] for text in by_name["answer"]]
        made = {name: np.array(values, dtype=NODE_TYPES.get(name, np.float32)) for name, values in by_name.items()}
        for stage, scale in scales[profile].items():
            made[stage] = np.round(made[stage] * np.float32(scale), 3)
        columns[node.name] = NodeColumns(**made)
    return MeasuredTable(
        sources=sources,
        kinds=kinds,
        answers=answers,
        photos=_photos(photos, sources),
        identity=np.array([identity(p["source"], p["name"], p["questions"][i]) for _, p, i in asked], dtype=np.int64),
        photo=np.array([at for at, _, _ in asked], dtype=np.int32),
        question=np.array([masked(p["questions"][i]) for _, p, i in asked]),
        kind=np.array([kinds.index(p["kinds"][i]) for _, p, i in asked], dtype=np.uint8),
        nodes={node.name: node for node in nodes},
        columns=columns,
        provenance=facts,
    )


def _photos(photos: Sequence[dict[str, Any]], sources: Sequence[str]) -> Photos:
    def column(name: str) -> Column:
        return np.array([p[name] for p in photos], dtype=PHOTO_TYPES.get(name, np.float32))

    plain = ("name", "split", "width", "height", "entropy_bits", "edge_density", "laplacian_variance", "features_ms")
    shapes = np.array([p["tiles_shape"] for p in photos], dtype=np.int32)
    return Photos(
        **{name: column(name) for name in plain},
        source=np.array([sources.index(p["source"]) for p in photos], dtype=np.uint8),
        tile_rows=shapes[:, 0],
        tile_columns=shapes[:, 1],
        tiles=np.array([value for p in photos for value in p["tiles"]], dtype=np.uint8),
    )
