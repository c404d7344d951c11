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


class Buffers:
    """OpenCV's own functions on frames of one size, with outputs that are used again."""

    def __init__(self, scene: Scene) -> None:
        shape, self._scene = scene.shape, scene
        self._dx, self._dy, self._second = (np.empty(shape, np.int16) for _ in range(3))
        self._abs_x, self._abs_y, self._over, self._d = (np.empty(shape, np.uint8) for _ in range(4))
        self._fx, self._fy = (np.empty(shape, np.float32) for _ in range(2))
        self._rows, self._cols = shape[0] // scene.tile, shape[1] // scene.tile
        self._means = np.empty((-(-shape[0] // scene.tile), -(-shape[1] // scene.tile)), np.uint8)

    def edges_l1(self, grey: U8) -> tuple[float, float]:
        """Share of |gx| + |gy| > threshold, saturated at 255, and variance of the Laplacian, of the interior."""
        cv2.spatialGradient(grey, self._dx, self._dy)
        cv2.convertScaleAbs(self._dx, self._abs_x)
        cv2.convertScaleAbs(self._dy, self._abs_y)
        cv2.add(self._abs_x, self._abs_y, self._abs_x)
        return self._share(self._abs_x), self.laplacian_variance(grey)

    def edges_exact(self, grey: U8) -> tuple[float, float]:
        """The same with the root, in float32."""
        cv2.Sobel(grey, cv2.CV_32F, 1, 0, self._fx)
        cv2.Sobel(grey, cv2.CV_32F, 0, 1, self._fy)
        cv2.magnitude(self._fx, self._fy, self._fx)
        return self._share(self._fx), self.laplacian_variance(grey)

    def _share(self, magnitude: Any) -> float:
        cv2.compare(magnitude, self._scene.edge_threshold, cv2.CMP_GT, self._over)
        inside = self._over[1:-1, 1:-1]
        return cv2.countNonZero(inside) / inside.size

    def laplacian_variance(self, grey: U8) -> float:
        """Variance of the Laplacian of the interior."""
        cv2.Laplacian(grey, cv2.CV_16S, self._second)
        _, deviation = cv2.meanStdDev(self._second[1:-1, 1:-1])
        return float(deviation[0, 0]) ** 2

    def mean_and_changed(self, before: U8, now: U8) -> tuple[float, float]:
        """Mean difference and share of pixels that changed."""
        cv2.absdiff(before, now, self._d)
        cv2.compare(self._d, self._scene.change_threshold, cv2.CMP_GT, self._over)
        return cv2.mean(self._d)[0], cv2.countNonZero(self._over) / now.size

    def difference(self, before: U8, now: U8) -> tuple[float, float, Any]:
        """The same with the means of tiles, rounded to levels."""
        return (*self.mean_and_changed(before, now), self._tile_means())

    def _tile_means(self) -> Any:
        """[rows, cols] by INTER_AREA; the cut tiles at the right and at the bottom one strip at a time."""
        tile, (height, width) = self._scene.tile, self._d.shape
        rows, cols = self._rows, self._cols
        whole_y, cut_y = (slice(0, rows), 0, rows * tile), (slice(rows, None), rows * tile, height)
        whole_x, cut_x = (slice(0, cols), 0, cols * tile), (slice(cols, None), cols * tile, width)
        for part_y, top, bottom in (whole_y, cut_y):
            for part_x, left, right in (whole_x, cut_x):
                part = self._means[part_y, part_x]
                if part.size:
                    d = self._d[top:bottom, left:right]
                    part[:] = cv2.resize(d, part.shape[::-1], interpolation=cv2.INTER_AREA)
        return self._means


def _edges(scene: Scene) -> Contender:
    opencv = Buffers(scene)
    return Contender(
        "cv2",
        DISTRIBUTION,
        lambda i: opencv.edges_l1(scene.at(i)),
        lambda r: {"edge_density_l1": r[0], "laplacian_variance": r[1]},
        L1,
    )


def _edges_exact(scene: Scene) -> Contender:
    opencv = Buffers(scene)
    return Contender(
        "cv2_exact",
        DISTRIBUTION,
        lambda i: opencv.edges_exact(scene.at(i)),
        lambda r: {"edge_density": r[0], "laplacian_variance": r[1]},
    )


def _laplacian_only(scene: Scene) -> Contender:
    return Contender(
        "cv2_laplacian_only",
        DISTRIBUTION,
        lambda i: cv2.Laplacian(scene.at(i), cv2.CV_64F)[1:-1, 1:-1].var(),
        lambda variance: {"laplacian_variance": variance},
        "less: no edge density; as one reads it everywhere",
    )


def _difference(scene: Scene) -> Contender:
    opencv = Buffers(scene)
    return Contender(
        "cv2",
        DISTRIBUTION,
        lambda i: opencv.difference(scene.before(i), scene.at(i)),
        lambda r: dict(zip(DIFFERENCE, r, strict=True)),
        "other: tile means in whole levels",
    )


def _difference_without_map(scene: Scene) -> Contender:
    opencv = Buffers(scene)
    return Contender(
        "cv2_no_map",
        DISTRIBUTION,
        lambda i: opencv.mean_and_changed(scene.before(i), scene.at(i)),
        lambda r: dict(zip(DIFFERENCE, r, strict=False)),
        "less: no tile means",
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
    opencv, frames = Buffers(scene), [np.zeros(scene.shape, np.uint8) for _ in range(2)]
    colour = scene.frames[0].ndim == 3
    calls, previous = 0, frames[0]

    def call(index: int) -> dict[str, Any]:
        nonlocal previous, calls
        frame = scene.at(index)
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY, dst=frames[calls % 2]) if colour else frame
        entropies = tiles(grey) if tiles else (bits(_counts(grey)),)
        density, variance = opencv.edges_l1(grey)
        moved = opencv.difference(previous, grey)
        previous, calls = grey, calls + 1
        edges = {"edge_density_l1": density, "laplacian_variance": variance}
        tiled = dict(zip(("entropy", "tile_entropy"), entropies, strict=False))
        return tiled | edges | dict(zip(DIFFERENCE, moved, strict=True))

    return call
