"""The statistics of pictures in OpenCV, with one thread and with outputs that are used again where it takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from edge_agent.cli.bench.libraries import opencv_distribution
from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers.bits import bits, tile_bits
from edge_agent.cli.bench.pictures import Scene
from edge_agent.types import U8

DISTRIBUTION = opencv_distribution()
DIFFERENCE = ("mean_abs_diff", "changed_share", "tile_mean_abs_diff")
L1 = "other: edges by |gx| + |gy|, which needs no root"


def contenders(scene: Scene) -> list[Contender]:
    """What OpenCV offers for a scene, each way of its own."""
    cv2.setNumThreads(1)
    if scene.case == "grey":
        return [_grey(scene)]
    if scene.case == "hist_entropy":
        return [_entropy(scene)]
    if scene.case in ("tile32_entropy", "tile16_entropy"):
        return [_tile_loop(scene), _tiles_batched(scene)]
    if scene.case == "edge_laplacian":
        return [_edges(scene), _edges_exact(scene), _laplacian_only(scene)]
    if scene.case == "frame_diff":
        return [_difference(scene), _difference_without_map(scene), _norm(scene)]
    return [_all(scene, tiles=False), _all(scene, tiles=True)]


def _grey(scene: Scene) -> Contender:
    out = np.empty(scene.shape, np.uint8)
    return Contender(
        "cv2",
        DISTRIBUTION,
        lambda i: cv2.cvtColor(scene.at(i), cv2.COLOR_BGR2GRAY, dst=out),
        lambda grey: {"grey": grey},
        "other: its own weights, one level apart",
    )


def _counts(grey: U8) -> Any:
    """[256] counts, float32 as OpenCV gives them."""
    return cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()


def _entropy(scene: Scene) -> Contender:
    return Contender("cv2", DISTRIBUTION, lambda i: bits(_counts(scene.at(i))), lambda value: {"entropy": value})


def tile_counts(grey: U8, tile: int) -> Any:
    """[rows, cols, 256] float32, by one calcHist a tile."""
    height, width = grey.shape
    return np.array(
        [
            [_counts(grey[top : top + tile, left : left + tile]) for left in range(0, width, tile)]
            for top in range(0, height, tile)
        ]
    )


def tile_loop(grey: U8, tile: int) -> tuple[float, Any]:
    """Entropy of the whole and of each tile, tile by tile, as one would write it."""
    height, width = grey.shape
    tiles = [
        [bits(_counts(grey[top : top + tile, left : left + tile])) for left in range(0, width, tile)]
        for top in range(0, height, tile)
    ]
    return bits(_counts(grey)), np.array(tiles)


def _tile_loop(scene: Scene) -> Contender:
    return Contender("cv2_loop", DISTRIBUTION, lambda i: tile_loop(scene.at(i), scene.tile), _read_tiles)


def _tiles_batched(scene: Scene) -> Contender:
    def call(index: int) -> tuple[float, Any]:
        counts = tile_counts(scene.at(index), scene.tile)
        return bits(counts.sum(axis=(0, 1))), tile_bits(counts.astype(np.int32), scene.tile)

    return Contender("cv2_loop_batched", DISTRIBUTION, call, _read_tiles)


def _read_tiles(result: tuple[float, Any]) -> dict[str, Any]:
    return {"entropy": result[0], "tile_entropy": result[1]}


def edges_l1(grey: U8, threshold: float) -> tuple[float, float]:
    """Share of |gx| + |gy| > threshold, saturated at 255, and variance of the Laplacian, of the interior."""
    dx, dy = cv2.spatialGradient(grey)
    magnitude = cv2.add(cv2.convertScaleAbs(dx), cv2.convertScaleAbs(dy))[1:-1, 1:-1]
    _, over = cv2.threshold(magnitude, threshold, 1, cv2.THRESH_BINARY)
    return cv2.countNonZero(over) / magnitude.size, laplacian_variance(grey)


def laplacian_variance(grey: U8) -> float:
    """Variance of the Laplacian of the interior."""
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S)[1:-1, 1:-1])
    return float(deviation[0, 0]) ** 2


def _edges(scene: Scene) -> Contender:
    return Contender(
        "cv2",
        DISTRIBUTION,
        lambda i: edges_l1(scene.at(i), scene.edge_threshold),
        lambda r: {"edge_density_l1": r[0], "laplacian_variance": r[1]},
        L1,
    )


def _edges_exact(scene: Scene) -> Contender:
    def call(index: int) -> tuple[float, float]:
        grey = scene.at(index)
        dx, dy = (cv2.Sobel(grey, cv2.CV_32F, order, 1 - order) for order in (1, 0))
        magnitude = cv2.magnitude(dx, dy)[1:-1, 1:-1]
        over = cv2.compare(magnitude, scene.edge_threshold, cv2.CMP_GT)
        return cv2.countNonZero(over) / magnitude.size, laplacian_variance(grey)

    return Contender("cv2_exact", DISTRIBUTION, call, lambda r: {"edge_density": r[0], "laplacian_variance": r[1]})


def _laplacian_only(scene: Scene) -> Contender:
    return Contender(
        "cv2_laplacian_only",
        DISTRIBUTION,
        lambda i: cv2.Laplacian(scene.at(i), cv2.CV_64F)[1:-1, 1:-1].var(),
        lambda variance: {"laplacian_variance": variance},
        "less: no edge density",
    )


def difference(before: U8, now: U8, threshold: int, tile: int) -> tuple[float, float, Any]:
    """Mean, share changed and tile means; the means of whole tiles come rounded to levels."""
    d = cv2.absdiff(before, now)
    over = cv2.compare(d, threshold, cv2.CMP_GT)
    return cv2.mean(d)[0], cv2.countNonZero(over) / d.size, tile_means(d, tile)


def tile_means(d: U8, tile: int) -> Any:
    """[rows, cols] means by INTER_AREA; the cut tiles at the right and at the bottom one strip at a time."""
    height, width = d.shape
    rows, cols = height // tile, width // tile
    means = np.empty((-(-height // tile), -(-width // tile)), np.uint8)
    strips = [(slice(0, rows), slice(0, cols)), (slice(rows, None), slice(0, cols))]
    strips += [(slice(0, rows), slice(cols, None)), (slice(rows, None), slice(cols, None))]
    for part_rows, part_cols in strips:
        part = means[part_rows, part_cols]
        if part.size:
            top, left = part_rows.start * tile, part_cols.start * tile
            bottom = rows * tile if part_rows.stop is not None else height
            right = cols * tile if part_cols.stop is not None else width
            part[:] = cv2.resize(d[top:bottom, left:right], part.shape[::-1], interpolation=cv2.INTER_AREA)
    return means


def _difference(scene: Scene) -> Contender:
    def call(index: int) -> tuple[float, float, Any]:
        return difference(scene.before(index), scene.at(index), scene.change_threshold, scene.tile)

    return Contender(
        "cv2", DISTRIBUTION, call, lambda r: dict(zip(DIFFERENCE, r, strict=True)), "other: tile means in whole levels"
    )


def _difference_without_map(scene: Scene) -> Contender:
    def call(index: int) -> tuple[float, float]:
        d = cv2.absdiff(scene.before(index), scene.at(index))
        return cv2.mean(d)[0], cv2.countNonZero(cv2.compare(d, scene.change_threshold, cv2.CMP_GT)) / d.size

    return Contender(
        "cv2_no_map", DISTRIBUTION, call, lambda r: dict(zip(DIFFERENCE, r, strict=False)), "less: no tile means"
    )


def _norm(scene: Scene) -> Contender:
    size = scene.shape[0] * scene.shape[1]
    return Contender(
        "cv2_norm_sad_only",
        DISTRIBUTION,
        lambda i: cv2.norm(scene.before(i), scene.at(i), cv2.NORM_L1) / size,
        lambda mean: {"mean_abs_diff": mean},
        "less: sad_only, the mean alone",
    )


def _all(scene: Scene, *, tiles: bool) -> Contender:
    if tiles:
        call = chain(scene, lambda grey: tile_loop(grey, scene.tile))
        return Contender("cv2_tiles", DISTRIBUTION, call, lambda result: result, L1)
    work = "less: no entropy of tiles; edges by |gx| + |gy|"
    return Contender("cv2", DISTRIBUTION, chain(scene, None), lambda result: result, work)


def chain(scene: Scene, tiles: Callable[[U8], tuple[float, Any]] | None) -> Callable[[int], dict[str, Any]]:
    """Everything one after the other, on a grey picture that is kept for the next frame; `tiles` has the entropies."""
    frames = [np.zeros(scene.shape, np.uint8) for _ in range(2)]
    colour = scene.frames[0].ndim == 3
    calls, previous = 0, frames[0]

    def call(index: int) -> dict[str, Any]:
        nonlocal previous, calls
        frame = scene.at(index)
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY, dst=frames[calls % 2]) if colour else frame
        entropies = tiles(grey) if tiles else (bits(_counts(grey)),)
        density, variance = edges_l1(grey, scene.edge_threshold)
        moved = difference(previous, grey, scene.change_threshold, scene.tile)
        previous, calls = grey, calls + 1
        edges = {"edge_density_l1": density, "laplacian_variance": variance}
        tiled = dict(zip(("entropy", "tile_entropy"), entropies, strict=False))
        return tiled | edges | dict(zip(DIFFERENCE, moved, strict=True))

    return call
