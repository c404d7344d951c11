"""Entropies from counts, as quick as NumPy does them: for libraries that only count."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bits(counts: NDArray[Any]) -> float:
    """Entropy in bits of one histogram, [256] counts."""
    filled = counts[counts > 0].astype(np.float64)
    total = float(filled.sum())
    return math.log2(total) - float(filled @ np.log2(filled)) / total


def tile_bits(counts: NDArray[Any], tile: int) -> NDArray[np.float64]:
    """Entropies of the tiles, [rows, cols], from their histograms, [rows, cols, 256] integers, at most tile^2 each."""
    totals = counts.sum(axis=2)  # [rows, cols]
    weighted = _weighted(tile * tile).take(counts).sum(axis=2)  # [rows, cols] float64
    result: NDArray[np.float64] = np.log2(totals) - weighted / totals
    return result


@lru_cache(maxsize=4)
def _weighted(largest: int) -> NDArray[np.float64]:
    """c log2 c for each count, [largest + 1]."""
    counts = np.arange(largest + 1, dtype=np.float64)
    return counts * np.log2(np.maximum(counts, 1.0))
