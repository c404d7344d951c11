"""Quantised embeddings compiled by numba, tuned: a row at a time, still in the cache when it is scaled."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.numba_kernels import Array, compiled, f32
from edge_agent.cli.bench.peers.tensors_numpy import prepared_codes, read_x
from edge_agent.cli.bench.tensors import TensorScene


@compiled
def quantise(x: Array, codes: Array, scales: Array) -> None:
    """[tokens, hidden] float32 -> int8 codes and float32 scales."""
    for row in range(x.shape[0]):
        values, to = x[row], codes[row]
        largest = f32(0)
        for k in range(values.size):
            largest = max(largest, abs(values[k]))
        scale = largest / f32(127)
        scales[row] = scale
        divisor = scale if scale > 0 else f32(1)
        for k in range(values.size):
            to[k] = np.int8(np.rint(values[k] / divisor))


@compiled
def restore(codes: Array, scales: Array, x: Array) -> None:
    """[tokens, hidden] int8 codes and float32 scales -> float32."""
    for row in range(x.shape[0]):
        values, to, scale = codes[row], x[row], scales[row]
        for k in range(values.size):
            to[k] = f32(values[k]) * scale


def contenders(scene: TensorScene) -> list[Contender]:
    """int8, both ways."""
    codes = np.empty(scene.shape, np.int8)
    scales = np.empty(scene.shape[0], np.float32)
    if scene.case == "quantise_int8":

        def forth(index: int) -> tuple[Any, Any]:
            quantise(scene.at(index), codes, scales)
            return codes, scales

        return [Contender("numba", "numba", forth, lambda r: {"codes": r[0], "scales": r[1]})]
    if scene.case != "dequantise_int8":
        return []
    levels, steps = prepared_codes(scene)
    x = np.empty(scene.shape, np.float32)

    def back(index: int) -> Any:
        restore(levels[index % len(levels)], steps[index % len(levels)], x)
        return x

    return [Contender("numba", "numba", back, read_x)]
