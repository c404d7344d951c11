"""The statistics of pictures in Pillow: grey and the entropy of the whole."""

from __future__ import annotations

from PIL import Image

from edge_agent.cli.bench.measure import Contender
from edge_agent.cli.bench.pictures import Scene


def contenders(scene: Scene) -> list[Contender]:
    """What Pillow offers; pictures are made from the arrays before anything is timed."""
    if scene.case == "grey":
        pictures = [Image.fromarray(frame[..., ::-1].copy()) for frame in scene.frames]
        work = "other: its own weights, a new picture each time"
        return [Contender("pillow", "pillow", lambda i: pictures[i % len(pictures)].convert("L"), _read_grey, work)]
    if scene.case == "hist_entropy":
        pictures = [Image.fromarray(frame) for frame in scene.frames]
        return [
            Contender("pillow", "pillow", lambda i: pictures[i % len(pictures)].entropy(), lambda b: {"entropy": b})
        ]
    return []


def _read_grey(picture: Image.Image) -> dict[str, object]:
    import numpy as np

    return {"grey": np.asarray(picture)}
