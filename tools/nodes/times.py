"""The times of another table: what nodes answer may be measured anew on a machine that is not the one for times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from edge_agent.sim.table import Column, MeasuredTable, NodeColumns

STAGES = ("encode_ms", "code_ms", "prefill_ms", "decode_ms")
OF_THE_MACHINE = ("machine", "measured", "overhead_ms", "again_prefill", "again_overhead_ms")
Slower = Mapping[str, tuple[float, float]]
"""Of a node: how many times as long its prompts take now, the first about a picture and further ones."""


def timed_as(table: MeasuredTable, other: MeasuredTable, slower: Slower) -> MeasuredTable:
    """`table` with all that `other` says of time: of the same questions, nodes and photos, in the same order.

    Raises SystemExit where they are not the same.
    """
    same = [np.array_equal(table.identity, other.identity), list(table.nodes) == list(other.nodes)]
    if not all(same) or not np.array_equal(table.photos.name, other.photos.name):
        raise SystemExit("the other table has other questions, nodes or photos: its times are not those of this one")
    if unknown := sorted(set(slower) - set(table.nodes)):
        raise SystemExit(f"there is no node {unknown[0]!r}")
    nodes, columns = {}, {}
    for name, node in table.nodes.items():
        first, further = slower.get(name, (1.0, 1.0))
        kept = other.nodes[name]
        of_machine = {field: getattr(kept, field) for field in OF_THE_MACHINE}
        of_machine["again_prefill"] = round(kept.again_prefill * further / first, 4)
        nodes[name] = replace(node, **of_machine)
        columns[name] = _columns(table.columns[name], other.columns[name], first)
    facts: dict[str, Any] = {
        "times": f"as measured with {_versions(other)}: {other.provenance.get('times', 'unknown')}",
        "factors": other.provenance.get("factors", {}),
        "slower": {name: list(pair) for name, pair in slower.items()},
    }
    photos = replace(table.photos, features_ms=other.photos.features_ms)
    return replace(table, nodes=nodes, columns=columns, photos=photos, provenance={**table.provenance, **facts})


def _columns(own: NodeColumns, other: NodeColumns, first: float) -> NodeColumns:
    taken: dict[str, Column] = {stage: getattr(other, stage) for stage in STAGES}
    taken["prefill_ms"] = (taken["prefill_ms"] * np.float32(first)).astype(taken["prefill_ms"].dtype)
    return replace(own, **taken)


def _versions(table: MeasuredTable) -> str:
    return ", ".join(sorted({f"{node.model} {node.version}" for node in table.nodes.values()}))


def parse_slower(text: str) -> tuple[str, tuple[float, float]]:
    """`NODE=FIRST,FURTHER`. Raises ValueError unless both are finite numbers above 0."""
    name, _, numbers = text.partition("=")
    first, further = (float(number) for number in numbers.split(","))
    if not (0 < first < math.inf and 0 < further < math.inf):
        raise ValueError(f"{numbers} are no factors")
    return name, (first, further)
