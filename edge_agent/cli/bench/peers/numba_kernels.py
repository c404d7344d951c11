"""The statistics of pictures compiled by numba, tuned: narrow integers, rows along memory, what LLVM can vectorise.

Integers stay narrow only where each step is cast back, as numba widens to 64 bits; that is what all the casts are for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
Array = Any

i16, i32, i64, u8, u16, u32, f32 = np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.float32
at = np.uintp


def compiled(function: F) -> F:
    """One thread, no bounds or wrap-around checks, no GIL, free order of float additions."""
    return cast(F, numba.njit(fastmath=True, boundscheck=False, nogil=True, error_model="numpy")(function))


@compiled
def grey(bgr: Array, out: Array) -> None:
    """[H, W, 3] packed -> out [H, W]."""
    height, width, _ = bgr.shape
    for y in range(height):
        row, to = bgr[y].ravel(), out[y]
        for x in range(width):
            k = at(3) * at(x)
            weighed = u32(29) * row[k] + u32(150) * row[k + at(1)] + u32(77) * row[k + at(2)] + u32(128)
            to[x] = u8(weighed >> u32(8))


@compiled
def histogram(image: Array, tables: Array) -> None:
    """[H, W] -> tables [4, 256] uint32, whose sum counts; four, so that equal neighbours do not wait."""
    height, width = image.shape
    tables[:] = 0
    first, second, third, fourth = tables[0], tables[1], tables[2], tables[3]
    fours = width & ~3
    for y in range(height):
        row = image[y]
        for x in range(0, fours, 4):
            first[row[x]] += u32(1)
            second[row[x + 1]] += u32(1)
            third[row[x + 2]] += u32(1)
            fourth[row[x + 3]] += u32(1)
        for x in range(fours, width):
            first[row[x]] += u32(1)


@compiled
def entropy(image: Array, tables: Array) -> float:
    """Bits of [H, W]."""
    histogram(image, tables)
    return bits(tables.sum(axis=0), image.size)


@compiled
def bits(counts: Array, total: int) -> float:
    """Bits of one histogram."""
    weighed = 0.0
    for count in counts:
        if count:
            weighed += count * np.log2(np.float64(count))
    return float(np.log2(np.float64(total)) - weighed / total)


@compiled
def tile_entropy(image: Array, tile: int, weighed: Array, out: Array) -> float:
    """Bits of the whole, and of each tile into out [rows, cols]. `weighed`: c log2 c for c up to tile^2, float32."""
    height, width = image.shape
    whole, counts = np.zeros(256, u32), np.zeros(256, u32)
    for tile_y in range(out.shape[0]):
        top, bottom = tile_y * tile, min(height, tile_y * tile + tile)
        for tile_x in range(out.shape[1]):
            left, right = tile_x * tile, min(width, tile_x * tile + tile)
            counts[:] = 0
            for y in range(top, bottom):
                row = image[y]
                for x in range(left, right):
                    counts[row[x]] += u32(1)
            total = f32(0)
            for k in range(256):
                total += weighed[counts[k]]
                whole[k] += counts[k]
            pixels = (bottom - top) * (right - left)
            out[tile_y, tile_x] = np.log2(np.float64(pixels)) - total / pixels
    return bits(whole, image.size)


@compiled
def edges(image: Array, threshold: float, column: Array, slope: Array) -> tuple[float, float]:
    """Edge density and Laplacian variance of the interior; `column` and `slope` are [W] int16 to work in.

    Separable: up + 2 mid + down and down - up of a row first; the Laplacian is the former + left + right - 6 mid.
    """
    height, width = image.shape
    limit = i32(threshold * threshold)
    over, total, squares = i64(0), i64(0), i64(0)
    for y in range(1, height - 1):
        up, mid, down = image[y - 1], image[y], image[y + 1]
        for x in range(width):
            above, middle, below = (
                i16(up[x]),
                i16(mid[x]),
                i16(down[x]),
            )  # read all before a store: else LLVM reads twice
            column[x] = i16(above + middle + middle + below)
            slope[x] = i16(below - above)
        row_over, row_total, row_squares = i32(0), i32(0), i32(0)
        for x in range(1, width - 1):
            gx = i32(i16(column[x + 1] - column[x - 1]))
            gy = i32(i16(slope[x - 1] + slope[x] + slope[x] + slope[x + 1]))
            row_over = i32(row_over + i32(i32(i32(gx * gx) + i32(gy * gy)) > limit))
            laplacian = i32(i16(column[x] + i16(mid[x - 1]) + i16(mid[x + 1]) - i16(6) * i16(mid[x])))
            row_total = i32(row_total + laplacian)
            row_squares = i32(row_squares + i32(laplacian * laplacian))
        over += row_over
        total += row_total
        squares += i64(u32(row_squares))
    pixels = (height - 2) * (width - 2)
    mean = total / pixels
    return over / pixels, squares / pixels - mean * mean


@compiled
def difference(before: Array, now: Array, threshold: int, tile: int, sums: Array, out: Array) -> tuple[float, float]:
    """Mean and changed share, and tile means into out [rows, cols]; `sums` is [W] uint16 to work in (tile <= 257)."""
    height, width = now.shape
    limit = u8(threshold)
    total, changed = i64(0), i64(0)
    for tile_y in range(out.shape[0]):
        top, bottom = tile_y * tile, min(height, tile_y * tile + tile)
        sums[:] = 0
        for y in range(top, bottom):
            old, new = before[y], now[y]
            row_changed = u32(0)
            for x in range(width):
                a, b = old[x], new[x]
                d = u8(a - b) if a > b else u8(b - a)
                sums[x] = u16(sums[x] + u16(d))
                row_changed = u32(row_changed + u32(d > limit))
            changed += row_changed
        for tile_x in range(out.shape[1]):
            left, right = tile_x * tile, min(width, tile_x * tile + tile)
            part = i64(0)
            for x in range(left, right):
                part += sums[x]
            out[tile_y, tile_x] = part / ((bottom - top) * (right - left))
            total += part
    return total / now.size, changed / now.size
