"""Lanczos resizing of 8-bit pictures, to the bit as Pillow does it, since models were trained on what Pillow makes.

Pillow filters along the rows, rounds to 8 bits, then down the columns, with weights in fixed point of 22 bits. (Pillow
13 goes the other way round for some shapes, which rounds differently; 12 and older never do.) The filter is
sinc(x) * sinc(x / 3) for |x| < 3, stretched by the scale where the picture shrinks, so that nothing is folded back.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from edge_agent.types import U8

_LOBES = 3.0
_BITS = 22
_BLOCK = 64


def resize(picture: U8, height: int, width: int) -> U8:
    """[H, W, C] uint8 to [height, width, C] uint8, a new array unless the size is the same."""
    made = picture
    if width != picture.shape[1]:
        made = _filtered(made.swapaxes(0, 1), width).swapaxes(0, 1)
    if height != picture.shape[0]:
        made = _filtered(made, height)
    return made


def _filtered(picture: U8, size: int) -> U8:
    """[N, M, C] to [size, M, C]: each new row is a weighted sum of a few old ones."""
    firsts, weights = _weights(int(picture.shape[0]), size)
    made = np.empty((size, *picture.shape[1:]), dtype=np.uint8)
    for first in range(0, picture.shape[1], _BLOCK):  # in parts that stay in the cache, however large the picture is
        part = np.ascontiguousarray(picture[:, first : first + _BLOCK])
        total = np.full((size, *part.shape[1:]), 1 << (_BITS - 1), dtype=np.int32)
        for tap in range(weights.shape[1]):  # a handful: six where the picture grows
            rows = part[np.minimum(firsts + tap, len(part) - 1)]
            total += rows * weights[:, tap, None, None]
        made[:, first : first + _BLOCK] = np.clip(total >> _BITS, 0, 255)
    return made


def _weights(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """First row [new] and fixed-point weights [new, taps] of each new row; unused taps weigh 0."""
    scale = old / new
    stretch = max(1.0, scale)
    reach = _LOBES * stretch
    taps = math.ceil(reach) * 2 + 1
    firsts = np.zeros(new, dtype=np.int64)
    weights = np.zeros((new, taps), dtype=np.int32)
    for at in range(new):
        centre = (at + 0.5) * scale
        first, last = max(0, int(centre - reach + 0.5)), min(old, int(centre + reach + 0.5))
        away = [(row + first - centre + 0.5) / stretch for row in range(last - first)]
        raw = [_lanczos(x) for x in away]
        total = sum(raw)
        for tap, value in enumerate(raw):
            scaled = value / total * (1 << _BITS)
            weights[at, tap] = int(scaled - 0.5) if scaled < 0 else int(scaled + 0.5)
        firsts[at] = first
    return firsts, weights


def _lanczos(x: float) -> float:
    if not -_LOBES <= x < _LOBES:
        return 0.0
    return _sinc(x) * _sinc(x / _LOBES)


def _sinc(x: float) -> float:
    return 1.0 if x == 0.0 else math.sin(x * math.pi) / (x * math.pi)
