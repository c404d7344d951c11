"""What changed between two pictures."""

from __future__ import annotations

import numpy as np

from edge_agent.features.image import TILE, grey
from edge_agent.features.kernels import choose
from edge_agent.types import U8, MotionFeatures

CHANGE_THRESHOLD = 25


def motion_features(
    previous: U8, current: U8, *, tile: int = TILE, change_threshold: int = CHANGE_THRESHOLD, isa: str | None = None
) -> MotionFeatures:
    """Difference of two uint8 pictures, each [H, W] grey or [H, W, 3] BGR; `valid` is False where the sizes differ.

    A pixel has changed where |current - previous| > `change_threshold`, 0..255.
    """
    kernels = choose(isa)
    before, after = grey(previous, isa=kernels.name), grey(current, isa=kernels.name)
    if before.shape != after.shape:
        return no_motion(after, tile)
    _, _, mean, share, mean_map = kernels.difference(before, after, change_threshold, tile)
    return MotionFeatures(mean, share, mean_map, True)


def no_motion(pixels: U8, tile: int) -> MotionFeatures:
    """What stands for the motion of a picture that has none before it."""
    height, width = pixels.shape[:2]
    return MotionFeatures(0.0, 0.0, np.zeros((-(-height // tile), -(-width // tile)), dtype=np.float32), False)
