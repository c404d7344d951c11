"""The statistics of pictures compiled by numba, written as the formulas read: one loop over the pixels each."""

from __future__ import annotations

import numpy as np

from edge_agent.cli.bench.peers.numba_kernels import Array, compiled, i32, i64, u32


@compiled
def grey(bgr: Array, out: Array) -> None:
    """[H, W, 3] -> out [H, W]."""
    height, width, _ = bgr.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = (29 * bgr[y, x, 0] + 150 * bgr[y, x, 1] + 77 * bgr[y, x, 2] + 128) >> 8


@compiled
def entropy(image: Array) -> float:
    """Bits of [H, W]."""
    counts = np.zeros(256, u32)
    height, width = image.shape
    for y in range(height):
        for x in range(width):
            counts[image[y, x]] += 1
    return bits(counts, image.size)


@compiled
def bits(counts: Array, total: int) -> float:
    """Bits of one histogram."""
    result = 0.0
    for count in counts:
        if count > 0:
            p = count / total
            result -= p * np.log2(p)
    return result


@compiled
def tile_entropy(image: Array, tile: int, out: Array) -> float:
    """Bits of the whole, and of each tile into out [rows, cols]."""
    height, width = image.shape
    whole = np.zeros(256, u32)
    for tile_y in range(out.shape[0]):
        for tile_x in range(out.shape[1]):
            counts = np.zeros(256, u32)
            top, left = tile_y * tile, tile_x * tile
            bottom, right = min(height, top + tile), min(width, left + tile)
            for y in range(top, bottom):
                for x in range(left, right):
                    counts[image[y, x]] += 1
            whole += counts
            out[tile_y, tile_x] = bits(counts, (bottom - top) * (right - left))
    return bits(whole, image.size)


@compiled
def edges(image: Array, threshold: float) -> tuple[float, float]:
    """Edge density and Laplacian variance of the interior."""
    height, width = image.shape
    limit = i64(threshold * threshold)  # an integer, as those compared with it
    over, total, squares = 0, 0, 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            a, b, c = i64(image[y - 1, x - 1]), i64(image[y - 1, x]), i64(image[y - 1, x + 1])
            d, e, f = i64(image[y, x - 1]), i64(image[y, x]), i64(image[y, x + 1])
            g, h, i = i64(image[y + 1, x - 1]), i64(image[y + 1, x]), i64(image[y + 1, x + 1])
            gx, gy = c + 2 * f + i - a - 2 * d - g, g + 2 * h + i - a - 2 * b - c
            if gx * gx + gy * gy > limit:
                over += 1
            laplacian = b + h + d + f - 4 * e
            total += laplacian
            squares += laplacian * laplacian
    pixels = (height - 2) * (width - 2)
    return over / pixels, squares / pixels - (total / pixels) ** 2


@compiled
def difference(before: Array, now: Array, threshold: int, tile: int, out: Array) -> tuple[float, float]:
    """Mean and changed share, and tile means into out [rows, cols]."""
    height, width = now.shape
    total, changed = 0, 0
    for tile_y in range(out.shape[0]):
        for tile_x in range(out.shape[1]):
            top, left = tile_y * tile, tile_x * tile
            bottom, right = min(height, top + tile), min(width, left + tile)
            part = 0
            for y in range(top, bottom):
                for x in range(left, right):
                    d = abs(i32(before[y, x]) - i32(now[y, x]))
                    part += d
                    if d > threshold:
                        changed += 1
            out[tile_y, tile_x] = part / ((bottom - top) * (right - left))
            total += part
    return total / now.size, changed / now.size
