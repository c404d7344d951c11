"""Our own statistics of pictures as contenders, and their outputs by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.pictures import Scene
from edge_agent.features.kernels import choose


def own(scene: Scene, isa: str | None = None) -> Contender:
    """The kernels of an instruction set, None for those in use, through the Python interface."""
    kernels, at = choose(isa), scene.at
    tile, edge, change = scene.tile, scene.edge_threshold, scene.change_threshold
    if scene.case == "grey":
        out = np.empty(at(0).shape[:2], np.uint8)
        return Contender("ours", "edge-agent", lambda i: kernels.grey(at(i), out), lambda grey: {"grey": grey})
    if scene.case == "hist_entropy":
        return Contender("ours", "edge-agent", lambda i: kernels.entropy(at(i)), lambda bits: {"entropy": bits})
    if scene.case in ("tile32_entropy", "tile16_entropy"):
        return Contender("ours", "edge-agent", lambda i: kernels.tile_entropy(at(i), tile), read_tiles)
    if scene.case == "edge_laplacian":
        return Contender("ours", "edge-agent", lambda i: kernels.edges(at(i), edge), read_edges)
    if scene.case == "frame_diff":
        before = scene.before
        return Contender(
            "ours", "edge-agent", lambda i: kernels.difference(before(i), at(i), change, tile), read_difference
        )
    stream = kernels.vision_stream(tile, edge, change)
    return Contender("ours", "edge-agent", lambda i: stream.analyze(at(i)), read_all)


def read_tiles(result: Any) -> Mapping[str, Any]:
    """Outputs of `tile_entropy` by name."""
    return {"entropy": result[0], "tile_entropy": result[1]}


def read_edges(result: Any) -> Mapping[str, Any]:
    """Outputs of `edges` by name."""
    return {"edge_density": result[3], "laplacian_variance": result[4]}


def read_difference(result: Any) -> Mapping[str, Any]:
    """Outputs of `difference` by name."""
    return {"mean_abs_diff": result[2], "changed_share": result[3], "tile_mean_abs_diff": result[4]}


def read_all(result: Any) -> Mapping[str, Any]:
    """Outputs of `VisionStream.analyze` by name."""
    entropy, tiles, density, variance, _, mean, share, tile_means = result
    return {
        "entropy": entropy,
        "tile_entropy": tiles,
        "edge_density": density,
        "laplacian_variance": variance,
        "mean_abs_diff": mean,
        "changed_share": share,
        "tile_mean_abs_diff": tile_means,
    }
