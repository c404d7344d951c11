"""The statistics of pictures in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.bits import bits, tile_bits
from edge_agent.cli.bench.pictures import Scene
from edge_agent.types import U8


def contenders(scene: Scene) -> list[Contender]:
    """What NumPy offers for a scene."""
    case = scene.case.replace("16", "").replace("32", "")
    makers = {
        "grey": [_grey],
        "hist_entropy": [_entropy],
        "tile_entropy": [_tiles, _tiles_plain],
        "edge_laplacian": [_edges],
        "frame_diff": [_difference],
    }
    return [make(scene) for make in makers.get(case, [])]


def _grey(scene: Scene) -> Contender:
    height, width = scene.shape
    total, part = (np.empty((height, width), np.uint16) for _ in range(2))
    out = np.empty((height, width), np.uint8)

    def call(index: int) -> U8:
        frame = scene.at(index)
        np.multiply(frame[..., 0], np.uint16(29), out=total, dtype=np.uint16)
        for channel, weight in ((1, 150), (2, 77)):
            np.multiply(frame[..., channel], np.uint16(weight), out=part, dtype=np.uint16)
            np.add(total, part, out=total)
        np.add(total, np.uint16(128), out=total)
        np.right_shift(total, np.uint16(8), out=total)
        np.copyto(out, total, casting="unsafe")
        return out

    return Contender("numpy", "numpy", call, lambda grey: {"grey": grey})


def _entropy(scene: Scene) -> Contender:
    def call(index: int) -> float:
        return bits(np.bincount(scene.at(index).ravel(), minlength=256))

    return Contender("numpy", "numpy", call, lambda value: {"entropy": value})


def _offsets(scene: Scene) -> tuple[Any, int, int]:
    """[H, W] int64: 256 times the number of each pixel's tile; rows and columns of tiles."""
    height, width = scene.shape
    rows, cols = -(-height // scene.tile), -(-width // scene.tile)
    y, x = np.arange(height) // scene.tile, np.arange(width) // scene.tile
    return (y[:, None] * cols + x[None, :]) * 256, rows, cols


def _tiles(scene: Scene) -> Contender:
    """One bincount for all tiles, and logarithms from a table."""
    offsets, rows, cols = _offsets(scene)
    bins = np.empty_like(offsets)

    def call(index: int) -> tuple[float, Any]:
        np.add(offsets, scene.at(index), out=bins)
        counts = np.bincount(bins.ravel(), minlength=rows * cols * 256).reshape(rows, cols, 256)
        return bits(counts.sum(axis=(0, 1))), tile_bits(counts, scene.tile)

    return Contender("numpy", "numpy", call, _read_tiles)


def _tiles_plain(scene: Scene) -> Contender:
    """One bincount for all tiles, and the formula as it reads."""
    offsets, rows, cols = _offsets(scene)

    def call(index: int) -> tuple[float, Any]:
        bins = offsets + scene.at(index)
        counts = np.bincount(bins.ravel(), minlength=rows * cols * 256).reshape(rows, cols, 256)
        p = counts / counts.sum(axis=2, keepdims=True)  # [rows, cols, 256]
        logarithm = np.log2(p, out=np.zeros_like(p), where=p > 0)
        return bits(counts.sum(axis=(0, 1))), -(p * logarithm).sum(axis=2)

    return Contender("numpy_plain", "numpy", call, _read_tiles)


def _read_tiles(result: tuple[float, Any]) -> dict[str, Any]:
    return {"entropy": result[0], "tile_entropy": result[1]}


def _edges(scene: Scene) -> Contender:
    limit = scene.edge_threshold**2

    def call(index: int) -> tuple[float, float]:
        grey = scene.at(index).astype(np.int16)
        smooth_y = grey[:-2] + 2 * grey[1:-1] + grey[2:]  # [H-2, W]
        smooth_x = grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]  # [H, W-2]
        gx = (smooth_y[:, 2:] - smooth_y[:, :-2]).astype(np.int32)  # [H-2, W-2]
        gy = (smooth_x[2:] - smooth_x[:-2]).astype(np.int32)
        density = np.count_nonzero(gx * gx + gy * gy > limit) / gx.size
        laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
        return density, float(laplacian.var(dtype=np.float64))

    return Contender("numpy", "numpy", call, lambda r: {"edge_density": r[0], "laplacian_variance": r[1]})


def _difference(scene: Scene) -> Contender:
    height, width = scene.shape
    tops, lefts = np.arange(0, height, scene.tile), np.arange(0, width, scene.tile)
    areas = np.diff([*tops, height])[:, None] * np.diff([*lefts, width])[None, :]  # [rows, cols]

    d, least = (np.empty(scene.shape, np.uint8) for _ in range(2))

    def call(index: int) -> tuple[float, float, Any]:
        before, now = scene.before(index), scene.at(index)
        np.subtract(np.maximum(before, now, out=d), np.minimum(before, now, out=least), out=d)
        bands = np.add.reduceat(d, tops, axis=0, dtype=np.uint32)  # [rows, W]
        sums = np.add.reduceat(bands, lefts, axis=1)  # [rows, cols]
        changed = np.count_nonzero(d > scene.change_threshold) / d.size
        return float(sums.sum()) / d.size, changed, sums / areas

    return Contender(
        "numpy",
        "numpy",
        call,
        lambda r: dict(zip(("mean_abs_diff", "changed_share", "tile_mean_abs_diff"), r, strict=True)),
    )
