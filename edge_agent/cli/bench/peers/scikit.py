"""The entropy of pictures in scikit-image: of the whole, and of tiles in a loop."""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage.measure import shannon_entropy

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.pictures import Scene
from edge_agent.types import U8


def contenders(scene: Scene) -> list[Contender]:
    """`skimage.filters.rank.entropy` is left out: it has a value for each pixel, which is other work."""
    if scene.case == "hist_entropy":
        return [
            Contender(
                "skimage", "scikit-image", lambda i: shannon_entropy(scene.at(i)), lambda value: {"entropy": value}
            )
        ]
    if scene.case in ("tile32_entropy", "tile16_entropy"):
        return [
            Contender(
                "skimage_loop",
                "scikit-image",
                lambda i: _tiles(scene.at(i), scene.tile),
                lambda r: {"entropy": r[0], "tile_entropy": r[1]},
            )
        ]
    return []


def _tiles(grey: U8, tile: int) -> tuple[float, Any]:
    height, width = grey.shape
    tiles = [
        [shannon_entropy(grey[top : top + tile, left : left + tile]) for left in range(0, width, tile)]
        for top in range(0, height, tile)
    ]
    return float(shannon_entropy(grey)), np.array(tiles)
