"""What numba offers for the statistics of pictures: tuned kernels, plain ones, and tuned tiles in an OpenCV chain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.peers import numba_kernels as tuned
from edge_agent.cli.bench.peers import numba_plain as plain
from edge_agent.cli.bench.pictures import Scene
from edge_agent.types import U8

Steps = dict[str, Callable[..., Any]]
Call = Callable[[int], dict[str, Any]]


def contenders(scene: Scene) -> list[Contender]:
    """The tuned one, `numba`, and the plain one, `numba_plain`."""
    found = [
        Contender(name, "numba", _call(scene, steps), lambda result: result)
        for name, steps in (("numba", tuned_steps(scene)), ("numba_plain", plain_steps(scene)))
    ]
    return [*found, _in_opencv_chain(scene)] if scene.case == "all_vision" else found


def tuned_steps(scene: Scene) -> Steps:
    """The steps of a scene by name, each with the memory that it works in."""
    width = scene.shape[1]
    tables = np.zeros((4, 256), np.uint32)
    column, slope, sums = np.empty(width, np.int16), np.empty(width, np.int16), np.empty(width, np.uint16)
    counts = np.arange(scene.tile**2 + 1, dtype=np.float64)
    weighed = (counts * np.log2(np.maximum(counts, 1))).astype(np.float32)
    entropies, means = _map(scene), _map(scene)
    return {
        "grey": lambda bgr, out: tuned.grey(bgr, out),
        "entropy": lambda image: tuned.entropy(image, tables),
        "tiles": lambda image: (tuned.tile_entropy(image, scene.tile, weighed, entropies), entropies),
        "edges": lambda image: tuned.edges(image, scene.edge_threshold, column, slope),
        "difference": lambda before, now: (
            *tuned.difference(before, now, scene.change_threshold, scene.tile, sums, means),
            means,
        ),
    }


def plain_steps(scene: Scene) -> Steps:
    """The same as `tuned_steps`."""
    entropies, means = _map(scene), _map(scene)
    return {
        "grey": lambda bgr, out: plain.grey(bgr, out),
        "entropy": lambda image: plain.entropy(image),
        "tiles": lambda image: (plain.tile_entropy(image, scene.tile, entropies), entropies),
        "edges": lambda image: plain.edges(image, scene.edge_threshold),
        "difference": lambda before, now: (
            *plain.difference(before, now, scene.change_threshold, scene.tile, means),
            means,
        ),
    }


def _map(scene: Scene) -> Any:
    height, width = scene.shape
    return np.zeros((-(-height // scene.tile), -(-width // scene.tile)), np.float32)


def _call(scene: Scene, steps: Steps) -> Call:
    case = scene.case
    if case == "grey":
        out = np.empty(scene.shape, np.uint8)

        def grey(index: int) -> dict[str, Any]:
            steps["grey"](scene.at(index), out)
            return {"grey": out}

        return grey
    if case == "hist_entropy":
        return lambda index: {"entropy": steps["entropy"](scene.at(index))}
    if case in ("tile32_entropy", "tile16_entropy"):
        return lambda index: _tiles(steps, scene.at(index))
    if case == "edge_laplacian":
        return lambda index: _edges(steps, scene.at(index))
    if case == "frame_diff":
        return lambda index: _difference(steps, scene.before(index), scene.at(index))
    return _everything(scene, steps)


def _everything(scene: Scene, steps: Steps) -> Call:
    """One after the other, on a grey picture that is kept for the next frame."""
    frames = [np.zeros(scene.shape, np.uint8) for _ in range(2)]
    colour = scene.frames[0].ndim == 3
    calls, previous = 0, frames[0]

    def call(index: int) -> dict[str, Any]:
        nonlocal calls, previous
        frame = scene.at(index)
        grey = frames[calls % 2] if colour else frame
        if colour:
            steps["grey"](frame, grey)
        result = _tiles(steps, grey) | _edges(steps, grey) | _difference(steps, previous, grey)
        calls, previous = calls + 1, grey
        return result

    return call


def _tiles(steps: Steps, image: U8) -> dict[str, Any]:
    return dict(zip(("entropy", "tile_entropy"), steps["tiles"](image), strict=True))


def _edges(steps: Steps, image: U8) -> dict[str, Any]:
    return dict(zip(("edge_density", "laplacian_variance"), steps["edges"](image), strict=True))


def _difference(steps: Steps, before: U8, now: U8) -> dict[str, Any]:
    names = ("mean_abs_diff", "changed_share", "tile_mean_abs_diff")
    return dict(zip(names, steps["difference"](before, now), strict=True))


def _in_opencv_chain(scene: Scene) -> Contender:
    """OpenCV for all but the tiles: the quickest chain that can be put together."""
    from edge_agent.cli.bench.peers.opencv import L1, chain

    tiles = tuned_steps(scene)["tiles"]
    return Contender("cv2_numba", "numba", chain(scene, tiles), lambda result: result, L1)
