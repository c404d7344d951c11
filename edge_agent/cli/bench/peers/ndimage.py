"""The statistics of pictures in scipy.ndimage: edges and Laplacian."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.pictures import Scene


def contenders(scene: Scene) -> list[Contender]:
    """What scipy offers."""
    if scene.case != "edge_laplacian":
        return []
    limit = scene.edge_threshold**2
    gx, gy, laplacian = (np.empty(scene.shape, np.int32) for _ in range(3))

    def call(index: int) -> tuple[float, float]:
        grey = scene.at(index).astype(np.int32)
        ndimage.sobel(grey, axis=1, output=gx)
        ndimage.sobel(grey, axis=0, output=gy)
        ndimage.laplace(grey, output=laplacian)
        squared = (gx * gx + gy * gy)[1:-1, 1:-1]
        return np.count_nonzero(squared > limit) / squared.size, float(laplacian[1:-1, 1:-1].var(dtype=np.float64))

    return [Contender("scipy", "scipy", call, lambda r: {"edge_density": r[0], "laplacian_variance": r[1]})]
